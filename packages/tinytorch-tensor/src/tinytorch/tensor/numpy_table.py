"""Which operation stands for which of NumPy's functions."""

from __future__ import annotations

import operator
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from . import creation, ops
from .errors import ShapeError
from .ops.reductions import normalize_axis
from .tensor import Tensor, unwrap

SAME_UFUNCS = """
    add subtract multiply divide floor_divide remainder power maximum minimum negative abs sign floor ceil exp expm1 log
    log1p log2 log10 sqrt square reciprocal sin cos tan arcsin arccos arctan arctan2 sinh cosh tanh matmul equal
    not_equal less less_equal greater greater_equal bitwise_and bitwise_or bitwise_xor invert isnan isfinite isinf
    logical_and logical_or logical_xor logical_not
"""
UFUNCS: dict[np.ufunc, Callable[..., Any]] = {getattr(np, name): getattr(ops, name) for name in SAME_UFUNCS.split()}
UFUNCS |= {np.positive: ops.alias, np.rint: ops.round}

REDUCTIONS: dict[np.ufunc, Callable[..., Any]] = {  # np.add.reduce and its like
    np.add: ops.sum, np.multiply: ops.prod, np.maximum: ops.max, np.minimum: ops.min,
    np.logical_and: ops.all, np.logical_or: ops.any,
}  # fmt: skip


def _dot(x: Any, y: Any) -> Tensor:
    if np.ndim(x) == 0 or np.ndim(y) == 0:
        return ops.multiply(x, y)
    if np.ndim(y) > 2:
        raise ShapeError(f"np.dot: {np.shape(x)} and {np.shape(y)}; for stacks of matrices write x @ y, or einsum")
    return ops.matmul(x, y)


def _norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Tensor:
    """NumPy's norm, which of two axes is that of a matrix: only the default one is the same of vectors."""
    axes = range(np.ndim(x)) if axis is None else np.atleast_1d(axis)
    if ord == "fro" or (ord is not None and len(axes) == 2):
        raise ValueError(f"np.linalg.norm: ord {ord!r} of matrices; only ord=None is differentiable, or use norm()")
    return ops.norm(x, ord=2 if ord is None else ord, axis=axis, keepdims=keepdims)


def _clip(x: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None) -> Tensor:
    return ops.clip(x, low=a_min if min is None else min, high=a_max if max is None else max)


def _take_along(x: Any, indices: Any, axis: int = -1) -> Tensor:
    """NumPy's rule for axes other than `axis`: they are broadcast, where `gather` takes the first of them."""
    place = normalize_axis("np.take_along_axis", x, axis)
    ours, theirs = list(np.shape(x)), list(np.shape(indices))
    if len(ours) == len(theirs):
        n, ours[place], theirs[place] = ours[place], 1, 1
        common = np.broadcast_shapes(ours, theirs)
        x = ops.broadcast_to(x, shape=(*common[:place], n, *common[place + 1 :]))
        indices = ops.broadcast_to(indices, shape=(*common[:place], np.shape(indices)[place], *common[place + 1 :]))
    return ops.gather(x, indices, axis=place)


def _permute(x: Any, axes: Any = None) -> Tensor:
    return ops.permute(x, axes=tuple(axes) if axes is not None else tuple(range(np.ndim(x)))[::-1])


def _pad(x: Any, pad_width: Any, mode: str = "constant", constant_values: float = 0.0) -> Tensor:
    if mode != "constant":
        raise TypeError(f"np.pad: mode {mode!r} of a tensor; only 'constant' is differentiable here, or pad t.data")
    return ops.pad(x, width=pad_width, value=constant_values)


def _expand_dims(x: Any, axis: Any) -> Tensor:
    new = np.atleast_1d(axis).tolist()
    places = {normalize_axis("np.expand_dims", x, each, extra=len(new)) for each in new}
    if len(places) != len(new):
        raise ValueError(f"np.expand_dims: axis {axis} names a place twice; each new axis needs its own")
    for place in sorted(places):
        x = ops.unsqueeze(x, place)
    return x if new else ops.alias(x)


def _split(x: Any, indices_or_sections: Any, axis: int = 0) -> tuple[Tensor, ...]:
    """NumPy's two ways to say where to cut: into so many equal pieces, or at these places."""
    place = normalize_axis("np.split", x, axis)
    total = np.shape(x)[place]
    cuts = indices_or_sections
    if np.ndim(cuts) == 0:
        number = operator.index(cuts)
        if number < 1 or total % number:
            raise ShapeError(f"np.split: {total} elements along axis {axis} do not make {number} equal pieces")
        cuts = range(total // number, total, total // number) if total else [0] * (number - 1)
    before = (slice(None),) * place
    return tuple(x[(*before, slice(start, end))] for start, end in pairwise([0, *cuts, total]))


def _diff(x: Any, n: int = 1, axis: int = -1) -> Tensor:
    if n < 0:
        raise ValueError(f"np.diff: n is {n}; it is how often to take differences, 0 or more")
    before = (slice(None),) * normalize_axis("np.diff", x, axis)
    for _ in range(n):
        x = x[(*before, slice(1, None))] - x[(*before, slice(None, -1))]
    return x


def _broadcast_arrays(*xs: Any) -> tuple[Tensor, ...]:
    shape = np.broadcast_shapes(*map(np.shape, xs))
    return tuple(ops.broadcast_to(x, shape=shape) for x in xs)


def _vstack(tensors: Any) -> Tensor:
    """Rows one below the other; a vector is a row."""
    return ops.concat([ops.reshape(x, shape=(1, -1)) if np.ndim(x) < 2 else x for x in tensors])


def _hstack(tensors: Any) -> Tensor:
    """Columns side by side; of vectors, one after the other."""
    parts = [ops.flatten(x) if np.ndim(x) == 0 else x for x in tensors]
    return ops.concat(parts, axis=0 if np.ndim(parts[0]) == 1 else 1)


def _sort(x: Any, axis: int | None = -1, kind: Any = None, *, stable: Any = None) -> Tensor:
    """Every order here is stable, whatever kind is asked for."""
    return ops.sort(ops.flatten(x), axis=0)[0] if axis is None else ops.sort(x, axis=axis)[0]


SAME_FUNCTIONS = """
    sum prod mean max min any all argmax argmin cumsum cumprod median nonzero argwhere moveaxis squeeze diagonal trace
    stack take repeat roll copy round
"""
FUNCTIONS: dict[Any, Callable[..., Any]] = {getattr(np, name): getattr(ops, name) for name in SAME_FUNCTIONS.split()}
FUNCTIONS |= {
    np.amax: ops.max, np.amin: ops.min, np.around: ops.round, np.sort: _sort, np.clip: _clip, np.pad: _pad,
    np.transpose: _permute, np.permute_dims: _permute, np.expand_dims: _expand_dims, np.split: _split, np.diff: _diff,
    np.broadcast_arrays: _broadcast_arrays, np.concatenate: ops.concat, np.vstack: _vstack, np.hstack: _hstack,
    np.take_along_axis: _take_along, np.dot: _dot, np.linalg.norm: _norm, np.empty_like: creation.empty_like,
    np.shape: lambda x: x.data.shape, np.ndim: lambda x: x.data.ndim, np.size: lambda x: x.data.size,
    np.var: lambda x, axis=None, ddof=0, keepdims=False: ops.var(x, axis, keepdims, ddof),
    np.std: lambda x, axis=None, ddof=0, keepdims=False: ops.std(x, axis, keepdims, ddof),
    np.argsort: lambda x, axis=-1, kind=None, *, stable=None: ops.argsort(x, axis),
    np.where: lambda condition, *choices: ops.where(condition, *choices) if choices else ops.nonzero(condition),
    np.count_nonzero: lambda x, axis=None, *, keepdims=False: ops.sum(ops.not_equal(x, 0), axis, keepdims),
    np.reshape: lambda x, shape: ops.reshape(x, shape=shape), np.ravel: lambda x: ops.reshape(x, shape=(-1,)),
    np.matrix_transpose: lambda x: ops.transpose(x, -2, -1),
    np.swapaxes: lambda x, axis1, axis2: ops.swapaxes(x, axis1, axis2),
    np.broadcast_to: lambda x, shape: ops.broadcast_to(x, shape=shape),
    np.flip: lambda x, axis=None: ops.flip(x, axis=axis),
    np.tril: lambda x, k=0: ops.tril(x, diagonal=k), np.triu: lambda x, k=0: ops.triu(x, diagonal=k),
    np.diag: lambda v, k=0: ops.diag(v, k), np.tile: lambda x, reps: ops.tile(x, reps),
    np.einsum: lambda spec, *operands, optimize=True: ops.einsum(spec, *operands),
    np.outer: lambda a, b: ops.outer(a, b),
    np.linalg.vector_norm: lambda x, *, axis=None, keepdims=False, ord=2: ops.norm(x, ord, axis, keepdims),
    np.astype: lambda x, dtype: x.astype(dtype),
    np.zeros_like: lambda x, dtype=None: creation.zeros_like(x, dtype),
    np.ones_like: lambda x, dtype=None: creation.ones_like(x, dtype),
    np.full_like: lambda x, fill_value, dtype=None: creation.full_like(x, fill_value, dtype),
    np.isclose: lambda *args, **options: Tensor(on_arrays(np.isclose, args, options)),
    np.iscomplexobj: lambda x: False,
}  # fmt: skip

CONSTANT = {
    np.result_type, np.array_equal, np.allclose, np.shares_memory, np.may_share_memory, np.save, np.savez,
    np.savez_compressed, np.savetxt, np.unique, np.bincount, np.isin, np.searchsorted, np.digitize, np.histogram,
}  # fmt: skip
"""Functions through which no gradient passes: they are computed on the arrays."""


def on_arrays(function: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
    """`function` of the arrays inside the tensors among its arguments."""
    return function(*_unwrap_all(args), **_unwrap_all(kwargs))


def _unwrap_all(x: Any) -> Any:
    if isinstance(x, list | tuple):
        return type(x)([_unwrap_all(each) for each in x])
    return {name: _unwrap_all(each) for name, each in x.items()} if isinstance(x, dict) else unwrap(x)
