"""The first training loop that people write works, or says what to write, in each of its spellings."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tinytorch.autograd import GraphError, no_grad
from tinytorch.tensor import Tensor


def in_place(w: Tensor) -> Tensor:
    with no_grad():
        w -= 0.1 * w.grad
    return w


def through_data(w: Tensor) -> Tensor:
    w.data -= 0.1 * w.grad.data  # type: ignore[union-attr]
    return w


def new_data(w: Tensor) -> Tensor:
    w.data = w.data - 0.1 * w.grad.data  # type: ignore[union-attr]
    return w


def data_from_a_tensor(w: Tensor) -> Tensor:
    with no_grad():
        w.data = w - 0.1 * w.grad  # type: ignore[assignment]
    return w


def all_in_a_list(w: Tensor) -> Tensor:
    with no_grad():
        for p in [w]:
            p -= 0.1 * p.grad
    return w


def by_detach(w: Tensor) -> Tensor:
    w.detach()[...] = w.detach() - 0.1 * w.grad  # type: ignore[operator]
    return w


def train(update: Callable[[Tensor], Tensor], steps: int = 100) -> Tensor:
    w = Tensor([1.0, 2.0], requires_grad=True)
    for _ in range(steps):
        loss = ((w - 3.0) ** 2).sum()
        loss.backward()
        w = update(w)
        w.zero_grad()
    return w


@pytest.mark.parametrize("update", [in_place, through_data, new_data, data_from_a_tensor, all_in_a_list, by_detach])
def test_it_trains(update: Callable[[Tensor], Tensor]) -> None:
    w = train(update)
    assert w.requires_grad
    assert w.is_leaf
    np.testing.assert_allclose(w.data, 3.0, rtol=1e-6)


def test_a_leaf_changed_in_place_while_recording_says_write_no_grad() -> None:
    w = Tensor([1.0, 2.0], requires_grad=True)
    ((w - 3.0) ** 2).sum().backward()
    with pytest.raises(RuntimeError, match=r"write `with no_grad\(\):` around it"):
        w -= 0.1 * w.grad
    with pytest.raises(NotImplementedError, match=r"setitem .* no_grad\(\)"):
        w[:] = w - 0.1 * w.grad
    assert w.tolist() == [1.0, 2.0]


def test_a_weight_replaced_while_recording_says_where_gradients_are_kept() -> None:
    with pytest.warns(UserWarning, match="kept in leaves only; update a weight in place"), pytest.raises(TypeError):
        train(lambda w: w - 0.1 * w.grad)


def test_a_weight_replaced_under_no_grad_says_update_in_place() -> None:
    def replace(w: Tensor) -> Tensor:
        with no_grad():
            return w - 0.1 * w.grad

    with pytest.raises(GraphError, match=r"makes a new tensor without gradients: update weights in place, `w -= step`"):
        train(replace)


def test_a_weight_changed_between_forward_and_backward_is_refused() -> None:
    w = Tensor([1.0, 2.0], requires_grad=True)
    loss = (w * w).sum()
    with no_grad():
        w -= 0.5
    with pytest.raises(GraphError, match="multiply was changed in place"):
        loss.backward()
