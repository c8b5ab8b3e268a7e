"""Which operation stands for which of NumPy's functions."""

from __future__ import annotations

import operator
from itertools import pairwise
from typing import Any

import numpy as np

from . import creation, ops
from .numpy_protocol import FUNCTIONS, REDUCTIONS, UFUNCS
from .ops.reductions import normal_axis
from .tensor import Tensor

UFUNCS |= {
    np.add: ops.add,
    np.subtract: ops.subtract,
    np.multiply: ops.multiply,
    np.true_divide: ops.divide,
    np.floor_divide: ops.floor_divide,
    np.remainder: ops.remainder,
    np.power: ops.power,
    np.maximum: ops.maximum,
    np.minimum: ops.minimum,
    np.negative: ops.negative,
    np.positive: ops.alias,
    np.absolute: ops.abs,
    np.sign: ops.sign,
    np.floor: ops.floor,
    np.ceil: ops.ceil,
    np.rint: ops.round,
    np.exp: ops.exp,
    np.expm1: ops.expm1,
    np.log: ops.log,
    np.log1p: ops.log1p,
    np.log2: ops.log2,
    np.log10: ops.log10,
    np.sqrt: ops.sqrt,
    np.square: ops.square,
    np.reciprocal: ops.reciprocal,
    np.sin: ops.sin,
    np.cos: ops.cos,
    np.tan: ops.tan,
    np.arcsin: ops.arcsin,
    np.arccos: ops.arccos,
    np.arctan: ops.arctan,
    np.arctan2: ops.arctan2,
    np.sinh: ops.sinh,
    np.cosh: ops.cosh,
    np.tanh: ops.tanh,
    np.matmul: ops.matmul,
    np.equal: ops.equal,
    np.not_equal: ops.not_equal,
    np.less: ops.less,
    np.less_equal: ops.less_equal,
    np.greater: ops.greater,
    np.greater_equal: ops.greater_equal,
    np.bitwise_and: ops.bitwise_and,
    np.bitwise_or: ops.bitwise_or,
    np.bitwise_xor: ops.bitwise_xor,
    np.invert: ops.invert,
    np.isnan: ops.isnan,
    np.isfinite: ops.isfinite,
    np.isinf: ops.isinf,
    np.logical_and: ops.logical_and,
    np.logical_or: ops.logical_or,
    np.logical_xor: ops.logical_xor,
    np.logical_not: ops.logical_not,
}

REDUCTIONS |= {
    np.add: ops.sum,
    np.multiply: ops.prod,
    np.maximum: ops.max,
    np.minimum: ops.min,
    np.logical_and: ops.all,
    np.logical_or: ops.any,
}


def _var(x: Any, axis: Any = None, ddof: int = 0, keepdims: bool = False) -> Tensor:
    return ops.var(x, axis=axis, correction=ddof, keepdims=keepdims)


def _std(x: Any, axis: Any = None, ddof: int = 0, keepdims: bool = False) -> Tensor:
    return ops.std(x, axis=axis, correction=ddof, keepdims=keepdims)


def _dot(x: Any, y: Any) -> Tensor:
    if np.ndim(x) == 0 or np.ndim(y) == 0:
        return ops.multiply(x, y)
    if np.ndim(y) > 2:
        raise ValueError(f"np.dot: {np.shape(x)} and {np.shape(y)}; for stacks of matrices write x @ y, or einsum")
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
    place = normal_axis("np.take_along_axis", x, axis)
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
    places = {normal_axis("np.expand_dims", x, each, extra=len(new)) for each in new}
    if len(places) != len(new):
        raise ValueError(f"np.expand_dims: axis {axis} names a place twice; each new axis needs its own")
    for place in sorted(places):
        x = ops.unsqueeze(x, place)
    return x if new else ops.alias(x)


def _bare(x: Any) -> Any:
    return x.data if isinstance(x, Tensor) else x


def _split(x: Any, indices_or_sections: Any, axis: int = 0) -> tuple[Tensor, ...]:
    """NumPy's two ways to say where to cut: into so many equal pieces, or at these places."""
    place = normal_axis("np.split", x, axis)
    total = np.shape(x)[place]
    cuts = indices_or_sections
    if np.ndim(cuts) == 0:
        number = operator.index(cuts)
        if number < 1 or total % number:
            raise ValueError(f"np.split: {total} elements along axis {axis} do not make {number} equal pieces")
        cuts = range(total // number, total, total // number) if total else [0] * (number - 1)
    before = (slice(None),) * place
    return tuple(x[(*before, slice(start, end))] for start, end in pairwise([0, *cuts, total]))


def _diff(x: Any, n: int = 1, axis: int = -1) -> Tensor:
    if n < 0:
        raise ValueError(f"np.diff: n is {n}; it is how often to take differences, 0 or more")
    before = (slice(None),) * normal_axis("np.diff", x, axis)
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


def _where(condition: Any, *choices: Any) -> Any:
    return ops.where(condition, *choices) if choices else ops.nonzero(condition)


def _sort(x: Any, axis: int | None = -1, kind: Any = None, *, stable: Any = None) -> Tensor:
    """Every order here is stable, whatever kind is asked for."""
    return ops.sort(ops.flatten(x), axis=0)[0] if axis is None else ops.sort(x, axis=axis)[0]


def _argsort(x: Any, axis: int | None = -1, kind: Any = None, *, stable: Any = None) -> Tensor:
    return ops.argsort(x, axis=axis)


FUNCTIONS |= {
    np.shape: lambda x: x.data.shape,
    np.ndim: lambda x: x.data.ndim,
    np.size: lambda x: x.data.size,
    np.sum: ops.sum,
    np.prod: ops.prod,
    np.mean: ops.mean,
    np.var: _var,
    np.std: _std,
    np.max: ops.max,
    np.min: ops.min,
    np.amax: ops.max,
    np.amin: ops.min,
    np.any: ops.any,
    np.all: ops.all,
    np.argmax: ops.argmax,
    np.argmin: ops.argmin,
    np.argsort: _argsort,
    np.sort: _sort,
    np.cumsum: ops.cumsum,
    np.cumprod: ops.cumprod,
    np.median: ops.median,
    np.clip: _clip,
    np.where: _where,
    np.nonzero: ops.nonzero,
    np.argwhere: ops.argwhere,
    np.count_nonzero: lambda x, axis=None, *, keepdims=False: ops.sum(ops.not_equal(x, 0), axis, keepdims),
    np.reshape: lambda x, shape: ops.reshape(x, shape=shape),
    np.ravel: lambda x: ops.reshape(x, shape=(-1,)),
    np.transpose: _permute,
    np.permute_dims: _permute,
    np.matrix_transpose: lambda x: ops.transpose(x, -2, -1),
    np.swapaxes: lambda x, axis1, axis2: ops.swapaxes(x, axis1, axis2),
    np.moveaxis: ops.moveaxis,
    np.squeeze: ops.squeeze,
    np.expand_dims: _expand_dims,
    np.broadcast_to: lambda x, shape: ops.broadcast_to(x, shape=shape),
    np.broadcast_arrays: _broadcast_arrays,
    np.flip: lambda x, axis=None: ops.flip(x, axis=axis),
    np.pad: _pad,
    np.tril: lambda x, k=0: ops.tril(x, diagonal=k),
    np.triu: lambda x, k=0: ops.triu(x, diagonal=k),
    np.diagonal: ops.diagonal,
    np.diag: lambda v, k=0: ops.diag(v, k),
    np.trace: ops.trace,
    np.concatenate: ops.concat,
    np.stack: ops.stack,
    np.vstack: _vstack,
    np.hstack: _hstack,
    np.split: _split,
    np.take: ops.take,
    np.take_along_axis: _take_along,
    np.repeat: ops.repeat,
    np.tile: lambda x, reps: ops.tile(x, reps),
    np.roll: ops.roll,
    np.diff: _diff,
    np.einsum: lambda spec, *operands, optimize=True: ops.einsum(spec, *operands),
    np.dot: _dot,
    np.outer: lambda a, b: ops.outer(a, b),
    np.linalg.norm: _norm,
    np.linalg.vector_norm: lambda x, *, axis=None, keepdims=False, ord=2: ops.norm(x, ord, axis, keepdims),
    np.copy: ops.copy,
    np.round: ops.round,
    np.around: ops.round,
    np.astype: lambda x, dtype: x.astype(dtype),
    np.zeros_like: lambda x, dtype=None: creation.zeros_like(x, dtype),
    np.ones_like: lambda x, dtype=None: creation.ones_like(x, dtype),
    np.empty_like: creation.empty_like,
    np.full_like: lambda x, fill_value, dtype=None: creation.full_like(x, fill_value, dtype),
    np.result_type: lambda *xs: np.result_type(*(_bare(x) for x in xs)),
    np.array_equal: lambda x, y, equal_nan=False: np.array_equal(_bare(x), _bare(y), equal_nan),
    np.allclose: lambda x, y, rtol=1e-5, atol=1e-8, equal_nan=False: np.allclose(
        _bare(x), _bare(y), rtol, atol, equal_nan
    ),
    np.isclose: lambda x, y, rtol=1e-5, atol=1e-8, equal_nan=False: Tensor(
        np.isclose(_bare(x), _bare(y), rtol, atol, equal_nan)
    ),
    np.iscomplexobj: lambda x: False,
    np.shares_memory: lambda x, y: np.shares_memory(_bare(x), _bare(y)),
    np.may_share_memory: lambda x, y: np.may_share_memory(_bare(x), _bare(y)),
}
