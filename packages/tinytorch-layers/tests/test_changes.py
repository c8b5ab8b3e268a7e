"""Whatever is set on a module or taken away is counted."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tinytorch.layers import Linear, Module, Parameter, Sequential, changes


@pytest.mark.parametrize(
    "change",
    [
        lambda model: setattr(model[0], "weight", Parameter([[1.0]])),
        lambda model: model.set_submodule("0", Linear(1, 1)),
        lambda model: model.append(Linear(1, 1)),
        lambda model: model.eval(),
        lambda model: model[0].register_buffer("seen", None),
        lambda model: model[0].register_forward_hook(lambda *_: None),
        lambda model: delattr(model[0], "bias"),
    ],
)
def test_a_change_is_counted(change: Callable[[Sequential], object]) -> None:
    model = Sequential(Linear(1, 1))
    before = changes()
    change(model)
    assert changes() > before


def test_a_hook_that_goes_is_counted() -> None:
    handle = (model := Linear(1, 1)).register_forward_hook(lambda *_: None)
    before = changes()
    handle.remove()
    assert changes() > before
    assert isinstance(model, Module)


def test_looking_and_learning_are_not() -> None:
    model = Sequential(Linear(1, 1))
    before = changes()
    model([[1.0]]).sum().backward()
    model.zero_grad()
    model.load_state_dict(model.state_dict())
    model[0].weight.data[:] = 2.0
    assert changes() == before
