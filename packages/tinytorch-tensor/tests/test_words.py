"""Words of PyTorch, and arguments that an operation does not have, are answered with ours."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest

import tinytorch.tensor as tt
from tinytorch.tensor import Tensor, primitive
from tinytorch.tensor.words import NAMES

x = Tensor([[1.0, 2.0], [3.0, 4.0]])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: x.sum(dim=0), "sum: dim is called axis here"),
        (lambda: tt.sum(x, dim=0), "sum: dim is called axis here"),
        (lambda: x.mean(keepdim=True), "mean: keepdim is called keepdims here"),
        (lambda: x.var(unbiased=False), "var: unbiased is called correction here"),
        (lambda: x.squeeze(dim=0), r"squeeze: dim is called axis here; the form is squeeze\(x, axis\)"),
        (lambda: tt.unsqueeze(x, dim=0), "unsqueeze: dim is called axis here"),
        (lambda: x.transpose(dim0=0, dim1=1), "transpose: dim0 is called d0 here"),
        (lambda: tt.concat([x], dim=0), "concat: dim is called axis here"),
        (lambda: tt.stack([x], dim=0), "stack: dim is called axis here"),
        (lambda: x.flatten(start_dim=1), "flatten: start_dim is called start here"),
        (lambda: Tensor([1.0], device="cpu"), r"Tensor: unknown .* leave it out; the form is Tensor\(data, dtype, req"),
        (lambda: tt.zeros(2, device="cpu"), "zeros: unknown argument 'device'; there is one device, leave it out"),
        (lambda: tt.full((2,), fill_value=3.0), "full: fill_value is called value here"),
        (lambda: x.sum(foo=1), r"sum: unknown argument 'foo'; the form is sum\(x, axis, keepdims\)"),
        (lambda: tt.exp(x, dim=1), r"exp: unknown argument 'dim'; the form is exp\(x\)"),
        (lambda: x.exp(inplace=True), r"Tensor.exp\(\) got an unexpected keyword argument 'inplace'"),
    ],
)
def test_an_argument_by_another_name_is_answered_with_ours(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        call()


def test_primitives_of_later_stages_answer_too() -> None:
    @primitive
    def smooth(x: Any, /, axis: int = -1) -> Any:
        return x

    with pytest.raises(TypeError, match=r"smooth: dim is called axis here; the form is smooth\(x, axis\)"):
        smooth(x, dim=1)


def test_an_unknown_argument_deeper_down_is_left_alone() -> None:
    @primitive
    def broken(x: Any, /) -> Any:
        return tt.sum.forward(x, axes=1)

    with pytest.raises(TypeError, match="axes"):
        broken(x)


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_name_that_is_not_ours_says_what_to_write(name: str) -> None:
    for owner, what in ((x, "'Tensor' object"), (tt, "module 'tinytorch.tensor'")):
        if not hasattr(owner, name):
            with pytest.raises(AttributeError, match=f"{what} has no attribute '{name}': "):
                getattr(owner, name)
    assert not hasattr(x, name) or not hasattr(tt, name)


def test_names_that_nobody_knows_are_refused_as_ever() -> None:
    with pytest.raises(AttributeError, match=r"module .tinytorch.tensor. has no attribute .nope.$"):
        _ = tt.nope
    with pytest.raises(AttributeError, match="'Tensor' object has no attribute 'nope'"):
        _ = x.nope


def test_gradients_of_this_stage_alone_are_explained() -> None:
    with pytest.raises(AttributeError, match=r"'backward': .*(later stage|enable_autograd)"):
        x.backward()


def test_functions_that_answer_are_copied_and_pickled_as_functions() -> None:
    for function in (tt.transpose, tt.zeros, tt.concat):
        assert pickle.loads(pickle.dumps(function)) is copy.deepcopy(function) is function
        assert function.__doc__
