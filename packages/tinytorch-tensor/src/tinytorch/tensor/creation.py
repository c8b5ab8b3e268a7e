"""Tensors out of nothing: constants, ranges and random numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .dtypes import as_array, check_dtype, check_kept, default_dtype, float16, float64
from .errors import DTypeError, ShapeError
from .ops.shaping import as_shape
from .tensor import Tensor

__all__ = [
    "arange", "default_generator", "empty", "empty_like", "eye", "from_dlpack", "full", "full_like", "generator_for",
    "linspace", "manual_seed", "ones", "ones_like", "rand", "rand_like", "randint", "randn", "randn_like", "randperm",
    "zeros", "zeros_like",
]  # fmt: skip

DType = npt.DTypeLike | None
Generator = np.random.Generator | None


def zeros(*shape: Any, dtype: DType = None, requires_grad: bool = False) -> Tensor:
    """Zeros of a shape, given as ints or as a tuple.

    >>> zeros(2, 3).shape, zeros((2, 3)).shape
    ((2, 3), (2, 3))
    """
    dtype = dtype or default_dtype()
    return Tensor(np.zeros(_shape("zeros", shape), dtype), dtype, requires_grad)


def ones(*shape: Any, dtype: DType = None, requires_grad: bool = False) -> Tensor:
    """Ones of a shape.

    >>> ones(2, 3).shape
    (2, 3)
    """
    dtype = dtype or default_dtype()
    return Tensor(np.ones(_shape("ones", shape), dtype), dtype, requires_grad)


def full(shape: Any, value: float, dtype: DType = None, requires_grad: bool = False) -> Tensor:
    """`value` everywhere; its kind (float, int, bool) decides the dtype unless one is given.
    Raises TypeError for a fraction in an integer dtype, OverflowError for a value beyond it.

    >>> full(2, 7), full((1, 2), 7.0)
    (Tensor([7, 7]), Tensor([[7., 7.]]))
    """
    sizes = _shape("full", (shape,))
    if dtype is not None:
        check_kept("full", value, check_dtype("full", dtype))
    return Tensor(np.full(sizes, as_array(value, dtype)), dtype, requires_grad)


def empty(*shape: Any, dtype: DType = None) -> Tensor:
    """Memory of a shape with whatever is in it."""
    dtype = dtype or default_dtype()
    return Tensor(np.empty(_shape("empty", shape), dtype), dtype)


def eye(n: int, m: int | None = None, dtype: DType = None, requires_grad: bool = False) -> Tensor:
    """The n x m matrix with ones on its diagonal (m = n unless given).

    >>> eye(2, 3).tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    """
    dtype = dtype or default_dtype()
    rows, columns = _shape("eye", (n, n if m is None else m))
    return Tensor(np.eye(rows, columns, dtype=dtype), dtype, requires_grad)


def arange(
    start: float, stop: float | None = None, step: float = 1, dtype: DType = None, requires_grad: bool = False
) -> Tensor:
    """start, start + step, … below stop (0 up to `start` when it is the only argument). Raises as `full` does.

    >>> arange(3)
    Tensor([0, 1, 2])
    """
    if step == 0:
        raise ValueError("arange: step is 0; it must lead from start to stop")
    start, stop = (0, start) if stop is None else (start, stop)
    values = np.arange(start, stop, step)
    if dtype is not None:
        check_kept("arange", values, check_dtype("arange", dtype))
    return Tensor(values, dtype, requires_grad)


def linspace(start: float, stop: float, num: int, dtype: DType = None, requires_grad: bool = False) -> Tensor:
    """`num` numbers from start to stop, both included, evenly spaced.

    >>> linspace(0, 1, 5)
    Tensor([0.  , 0.25, 0.5 , 0.75, 1.  ])
    """
    return Tensor(np.linspace(start, stop, _shape("linspace", (num,))[0]), dtype, requires_grad)


def zeros_like(x: Any, dtype: DType = None, requires_grad: bool = False) -> Tensor:
    """Zeros with the shape and dtype of x.

    >>> zeros_like(Tensor([1, 2]))
    Tensor([0, 0])
    """
    return zeros(np.shape(x), dtype=dtype or _dtype(x), requires_grad=requires_grad)


def ones_like(x: Any, dtype: DType = None, requires_grad: bool = False) -> Tensor:
    """Ones with the shape and dtype of x."""
    return ones(np.shape(x), dtype=dtype or _dtype(x), requires_grad=requires_grad)


def full_like(x: Any, value: float, dtype: DType = None, requires_grad: bool = False) -> Tensor:
    """`value` everywhere, with the shape and dtype of x. Raises as `full` does."""
    return full(np.shape(x), value, dtype=dtype or _dtype(x), requires_grad=requires_grad)


def empty_like(x: Any, dtype: DType = None) -> Tensor:
    """Memory with the shape and dtype of x and whatever is in it."""
    return empty(np.shape(x), dtype=dtype or _dtype(x))


def from_dlpack(x: Any) -> Tensor:
    """A tensor on the memory of another library's array (PyTorch, JAX, …), with its dtype and without a copy.

    >>> array = np.zeros(2)
    >>> shared = from_dlpack(array)
    >>> array[0] = 1.0; shared
    Tensor([1., 0.], dtype=float64)
    """
    if not hasattr(x, "__dlpack__"):
        raise TypeError(f"from_dlpack: a {type(x).__name__} has no __dlpack__; Tensor(x) reads lists and numbers")
    array = np.from_dlpack(x)
    return Tensor(array, dtype=array.dtype)


# Randomness: one default generator for all, and a `generator` argument wherever a number is drawn.
_generator = np.random.default_rng()


def default_generator() -> np.random.Generator:
    """The generator that is used where none is given.

    >>> manual_seed(0) is default_generator()
    True
    """
    return _generator


def generator_for(name: str, generator: Generator) -> np.random.Generator:
    """What the function `name` draws from: `generator`, or the default one for None. Raises TypeError for another.

    >>> generator_for("rand", None) is default_generator()
    True
    """
    if generator is None:
        return _generator
    if not isinstance(generator, np.random.Generator):
        kind = type(generator).__name__
        raise TypeError(f"{name}: generator is a {kind}; give np.random.default_rng(seed), or call manual_seed")
    return generator


def manual_seed(seed: int) -> np.random.Generator:
    """Start the default generator over from `seed`, and return it.

    >>> _ = manual_seed(0); a = randn(2)
    >>> _ = manual_seed(0); bool((a == randn(2)).all())
    True
    """
    _generator.bit_generator.state = np.random.default_rng(seed).bit_generator.state
    return _generator


def rand(*shape: Any, dtype: DType = None, requires_grad: bool = False, generator: Generator = None) -> Tensor:
    """Numbers drawn evenly from [0, 1).

    >>> x = rand(2, 3, generator=np.random.default_rng(0))
    >>> x.shape, x.dtype, bool(((x >= 0) & (x < 1)).all())
    ((2, 3), dtype('float32'), True)
    """
    dtype = np.dtype(dtype or default_dtype())
    sizes, source = _shape("rand", shape), generator_for("rand", generator)
    drawn = source.random(sizes, dtype=_drawable("rand", dtype))
    if dtype == float16:
        drawn = np.floor(drawn * 2048) / 2048  # rounding to float16 would make 1 of what is just below
    return Tensor(drawn, dtype, requires_grad)


def randn(*shape: Any, dtype: DType = None, requires_grad: bool = False, generator: Generator = None) -> Tensor:
    """Numbers drawn from the normal distribution of mean 0 and variance 1.

    >>> x = randn(1000, generator=np.random.default_rng(0))
    >>> abs(x.mean().item()) < 0.1, abs(x.std().item() - 1) < 0.1
    (True, True)
    """
    dtype = np.dtype(dtype or default_dtype())
    sizes, source = _shape("randn", shape), generator_for("randn", generator)
    drawn = source.standard_normal(sizes, dtype=_drawable("randn", dtype))
    return Tensor(drawn, dtype, requires_grad)


def rand_like(x: Any, dtype: DType = None, requires_grad: bool = False, generator: Generator = None) -> Tensor:
    """Numbers drawn evenly from [0, 1), with the shape and dtype of x."""
    return rand(np.shape(x), dtype=dtype or _dtype(x), requires_grad=requires_grad, generator=generator)


def randn_like(x: Any, dtype: DType = None, requires_grad: bool = False, generator: Generator = None) -> Tensor:
    """Numbers drawn from the normal distribution, with the shape and dtype of x."""
    return randn(np.shape(x), dtype=dtype or _dtype(x), requires_grad=requires_grad, generator=generator)


def randint(low: int, high: int, shape: Any = (), dtype: DType = None, generator: Generator = None) -> Tensor:
    """Integers drawn evenly from low to high - 1. Raises ValueError when there are none.

    >>> x = randint(1, 7, (100,), generator=np.random.default_rng(0))
    >>> x.min().item(), x.max().item()
    (1, 6)
    """
    low, high = as_shape("randint", (low, high))
    if high <= low:
        raise ValueError(f"randint: no integers from {low} to {high} - 1; high must be above low")
    if dtype is not None:
        check_kept("randint", [low, high - 1], check_dtype("randint", dtype))
    return Tensor(generator_for("randint", generator).integers(low, high, _shape("randint", (shape,))), dtype)


def randperm(n: int, generator: Generator = None) -> Tensor:
    """The integers 0 to n - 1 in random order.

    >>> randperm(4).sort()[0]
    Tensor([0, 1, 2, 3])
    """
    return Tensor(generator_for("randperm", generator).permutation(*_shape("randperm", (n,))))


def _shape(name: str, shape: tuple[Any, ...]) -> tuple[int, ...]:
    if len(shape) > 1 and isinstance(shape[-1], type | np.dtype | str):
        raise TypeError(f"{name}: {shape[-1]!r} among the sizes; a dtype is given by name, dtype=...")
    sizes = as_shape(name, shape[0] if len(shape) == 1 else shape)
    if any(size < 0 for size in sizes):
        raise ShapeError(f"{name}: shape {sizes} has a negative size; sizes start at 0")
    return sizes


def _dtype(x: Any) -> np.dtype[Any]:
    return x.dtype if hasattr(x, "dtype") else as_array(x).dtype


def _drawable(name: str, dtype: np.dtype[Any]) -> Any:
    """NumPy draws float32 and float64; other floating-point dtypes are rounded from float64."""
    if dtype.kind != "f":
        raise DTypeError(f"{name}: dtype {dtype}; what is drawn has a fraction, randint draws integers")
    return dtype if dtype.name in ("float32", "float64") else float64
