"""A hook with `always_call` is called whatever happens in forward."""

from typing import Any

import pytest

from tinytorch.layers import Module


class Broken(Module):
    def forward(self, x: Any) -> Any:
        raise ArithmeticError("broken")


def test_always_call_sees_an_error_pass_and_a_plain_hook_does_not() -> None:
    module, called = Broken(), []
    module.register_forward_hook(lambda module, args, kwargs, output: called.append("plain"))
    module.register_forward_hook(
        lambda module, args, kwargs, output: called.append(("always", output)), always_call=True
    )
    with pytest.raises(ArithmeticError, match="broken"):
        module(1)
    assert called == [("always", None)]


def test_always_call_may_replace_the_output_of_a_forward_that_succeeds() -> None:
    class Same(Module):
        def forward(self, x: Any) -> Any:
            return x

    module = Same()
    module.register_forward_hook(lambda module, args, kwargs, output: output + 1, always_call=True)
    assert module(1) == 2
