"""The innermost step of dispatch: arrays out of tensors, the forward, a tensor around its result.

Which of the functions `run...` runs a primitive is chosen once, when it is declared: most have one input or two, and
without a loop over them these take half the time.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy import ndarray

from . import dtypes
from .dtypes import Array, as_numbers, default_dtype
from .tensor import Tensor, new
from .words import unknown_argument, unknown_word

if TYPE_CHECKING:
    from .dispatch import Primitive

Args: TypeAlias = tuple[Any, ...]
Params: TypeAlias = dict[str, Any]
Result: TypeAlias = Any  # a Tensor, or for fused primitives the pair (Tensor, saved)
Run: TypeAlias = Callable[["Primitive", Args, Params], Result]

WEAK = frozenset({int, float, bool})
"""Python scalars take the dtype of the tensor they meet."""


# While no float16 was ever met, nothing has to be widened, and the forward as it was declared does.
def run1(primitive: Primitive, args: Args, params: Params) -> Tensor:
    forward = primitive.forward if dtypes.settled is None else primitive.narrow
    x = args[0]
    x = x._data if isinstance(x, Tensor) else np.asarray(input_of(primitive, 0, x))
    return finish(primitive, forward(x, **params) if params else forward(x), args, params)


def run2(primitive: Primitive, args: Args, params: Params) -> Tensor:
    forward = primitive.forward if dtypes.settled is None else primitive.narrow
    x, y = args
    x = x._data if isinstance(x, Tensor) else x if type(x) in WEAK else input_of(primitive, 0, x)
    y = y._data if isinstance(y, Tensor) else y if type(y) in WEAK else input_of(primitive, 1, y)
    return finish(primitive, forward(x, y, **params) if params else forward(x, y), args, params)


def run_any(primitive: Primitive, args: Args, params: Params) -> Tensor:
    forward = primitive.forward if dtypes.settled is None else primitive.narrow
    return finish(primitive, forward(*inputs_of(primitive, args), **params), args, params)


def run_fused(primitive: Primitive, args: Args, params: Params) -> tuple[Tensor, Any]:
    forward = primitive.forward if dtypes.settled is None else primitive.narrow
    pair = forward(*inputs_of(primitive, args), **params)
    if type(pair) is not tuple or len(pair) != 2:
        raise TypeError(
            f"{primitive.name}: its forward returned a {type(pair).__name__}; that of a fused primitive returns "
            "(out, saved), with None for nothing saved"
        )
    return finish(primitive, pair[0], args, params), pair[1]


def finish(primitive: Primitive, out: Any, args: Args, params: Params) -> Tensor:
    """A tensor around what the forward returned, in the dtype that it should have."""
    if type(out) is not ndarray:
        if not hasattr(out, "dtype"):
            raise TypeError(
                f"{primitive.name}: its forward returned a {type(out).__name__}; a forward returns one array, "
                "and a fused one (out, saved) with an array in the first place"
            )
        out = np.asarray(out)
    result: Tensor = new(Tensor)  # what `wrap` does: the call would be a tenth of what dispatch costs
    result._data = out if out.dtype is dtypes.settled else settle(primitive, out, args, params)
    result._grad = result.node = result.hooks = None
    result.requires_grad = False
    return result


def inputs_of(primitive: Primitive, args: Args) -> list[Any]:
    inputs: list[Any] = []  # a loop, because a comprehension is a call of its own before Python 3.12
    for x in args:
        if isinstance(x, Tensor):
            inputs.append(x._data)
        else:
            inputs.append(x if type(x) in WEAK else input_of(primitive, len(inputs), x))
    return inputs


def input_of(primitive: Primitive, place: int, arg: Any) -> Any:
    """An input that is not a tensor, as the forward sees it; None only where that is the default."""
    if arg is None and place < len(primitive.inputs) - len(primitive.defaults):
        name = primitive.inputs[place]
        raise TypeError(f"{primitive.name}: {name} is None; it must be a tensor, an array or a number")
    return as_input(arg)


def as_input(arg: Any) -> Any:
    """An input as forwards see it: an array, a Python scalar or None."""
    if isinstance(arg, Tensor):
        return arg._data
    if isinstance(arg, np.generic):
        return arg.item()  # np.sqrt(2) is a number like math.sqrt(2), and would lose digits as a float32 array
    return arg if arg is None or type(arg) in WEAK else as_numbers(arg)


def settle(primitive: Primitive, out: Array, args: Args, params: Params) -> Array:
    """A result in the dtype that it should have. A floating-point result has that of the floating-point
    tensors it was made from, or the default one where there is none; any other keeps its own.

    In NumPy an integer array makes a float32 one float64, and so does a float64 array; here only tensors decide, and
    arrays and lists are computed with in the precision they have.
    """
    for arg in args:
        if isinstance(arg, Tensor) and arg._data.dtype is out.dtype:
            return out
    if out.dtype.kind != "f" or "dtype" in params:
        return out
    floats = [arg._data.dtype for arg in args if isinstance(arg, Tensor) and arg._data.dtype.kind == "f"]
    wanted = np.result_type(*floats) if floats else default_dtype()
    if not floats and out.itemsize < wanted.itemsize and not primitive.fused:
        inputs = [as_input(arg) for arg in args]
        if not any(isinstance(x, ndarray) and x.dtype.kind == "f" for x in inputs):
            # of narrow integers NumPy computes functions in half precision: once more, with all digits
            wide = [x.astype(wanted) if isinstance(x, ndarray) else x for x in inputs]
            return np.asarray(primitive.forward(*wide, **params))
    return out.astype(wanted, copy=False)


def improve(primitive: Primitive, error: Exception, args: Args, params: Params) -> Exception:
    """An error of a forward as its user should see it: the primitive's own words, or a note of what was computed."""
    # returned, not raised: in its traceback this frame would hold it, and it the tensors, until garbage collection
    if str(error).startswith(f"{primitive.name}: "):
        return error
    if word := unknown_word(error):
        better: Exception | None = unknown_argument(primitive.name, word, primitive.form)
    else:
        better = primitive.explain and primitive.explain(error, *map(as_input, args), **params)
    if better:
        better.__suppress_context__ = True  # as `raise ... from None` does
        return better
    if not re.match(r"\w+: ", str(error)):  # which would say already what was called
        shown = [f"{arg.shape} {arg.dtype}" if hasattr(arg, "dtype") else repr(arg)[:40] for arg in args]
        error.add_note(f"while computing {primitive.name}({', '.join(shown)})")
    return error
