"""Which operation stands for which of NumPy's functions."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from . import ops
from .numpy_protocol import FUNCTIONS, REDUCTIONS, UFUNCS
from .tensor import Tensor

UFUNCS |= {
    np.add: ops.add,
    np.subtract: ops.subtract,
    np.multiply: ops.multiply,
    np.true_divide: ops.divide,
    np.floor_divide: ops.floor_divide,
    np.remainder: ops.remainder,
    np.power: ops.power,
    np.float_power: ops.power,
    np.maximum: ops.maximum,
    np.minimum: ops.minimum,
    np.negative: ops.negative,
    np.positive: ops.alias,
    np.absolute: ops.abs,
    np.fabs: ops.abs,
    np.sign: ops.sign,
    np.floor: ops.floor,
    np.ceil: ops.ceil,
    np.rint: ops.round,
    np.exp: ops.exp,
    np.log: ops.log,
    np.sqrt: ops.sqrt,
    np.square: lambda x: ops.multiply(x, x),
    np.reciprocal: lambda x: ops.divide(1.0, x),
    np.tanh: ops.tanh,
    np.sin: ops.sin,
    np.cos: ops.cos,
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


def _where(condition: Any, x: Any, y: Any) -> Tensor:
    return ops.where(condition, x, y)


def _permute(x: Any, axes: Any = None) -> Tensor:
    return ops.permute(x, axes=tuple(axes) if axes is not None else tuple(range(np.ndim(x)))[::-1])


def _zeros_like(x: Any, dtype: Any = None) -> Tensor:
    return Tensor(np.zeros(np.shape(x), dtype or x.dtype), dtype or x.dtype)


def _ones_like(x: Any, dtype: Any = None) -> Tensor:
    return Tensor(np.ones(np.shape(x), dtype or x.dtype), dtype or x.dtype)


def _full_like(x: Any, value: Any, dtype: Any = None) -> Tensor:
    return Tensor(np.full(np.shape(x), value, dtype or x.dtype), dtype or x.dtype)


def _pad(x: Any, pad_width: Any, mode: str = "constant", constant_values: float = 0.0) -> Tensor:
    if mode != "constant":
        raise TypeError(f"np.pad: mode {mode!r} of a tensor; only 'constant' is differentiable here, or pad t.data")
    return ops.pad(x, width=pad_width, value=constant_values)


def _expand_dims(x: Any, axis: int) -> Tensor:
    return ops.unsqueeze(x, axis)


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
    np.any: ops.any,
    np.all: ops.all,
    np.argmax: ops.argmax,
    np.argmin: ops.argmin,
    np.argsort: lambda x, axis=-1: ops.argsort(x, axis=axis),
    np.sort: lambda x, axis=-1: ops.sort(x, axis=axis)[0],
    np.cumsum: lambda x, axis: ops.cumsum(x, axis=axis),
    np.clip: lambda x, a_min=None, a_max=None: ops.clip(x, low=a_min, high=a_max),
    np.where: _where,
    np.reshape: lambda x, shape: ops.reshape(x, shape=shape),
    np.ravel: lambda x: ops.reshape(x, shape=(-1,)),
    np.transpose: _permute,
    np.permute_dims: _permute,
    np.matrix_transpose: lambda x: ops.transpose(x, -2, -1),
    np.swapaxes: ops.transpose,
    np.moveaxis: lambda x, source, destination: _moveaxis(x, source, destination),
    np.squeeze: ops.squeeze,
    np.expand_dims: _expand_dims,
    np.broadcast_to: lambda x, shape: ops.broadcast_to(x, shape=shape),
    np.flip: lambda x, axis=None: ops.flip(x, axis=axis),
    np.pad: _pad,
    np.tril: lambda x, k=0: ops.tril(x, diagonal=k),
    np.triu: lambda x, k=0: ops.triu(x, diagonal=k),
    np.concatenate: ops.concat,
    np.stack: ops.stack,
    np.split: lambda x, sections, axis=0: ops.split(x, _pieces(x, sections, axis), axis),
    np.take_along_axis: lambda x, indices, axis=-1: ops.gather(x, indices, axis=axis),
    np.einsum: ops.einsum,
    np.dot: ops.matmul,
    np.copy: ops.copy,
    np.round: ops.round,
    np.zeros_like: _zeros_like,
    np.ones_like: _ones_like,
    np.full_like: _full_like,
    np.result_type: lambda *xs: np.result_type(*(_bare(x) for x in xs)),
    np.array_equal: lambda x, y, equal_nan=False: np.array_equal(_bare(x), _bare(y), equal_nan),
    np.allclose: lambda x, y, rtol=1e-5, atol=1e-8, equal_nan=False: np.allclose(
        _bare(x), _bare(y), rtol, atol, equal_nan
    ),
    np.iscomplexobj: lambda x: False,
    np.shares_memory: lambda x, y: np.shares_memory(_bare(x), _bare(y)),
    np.may_share_memory: lambda x, y: np.may_share_memory(_bare(x), _bare(y)),
}


def _bare(x: Any) -> Any:
    return x.data if isinstance(x, Tensor) else x


def _moveaxis(x: Any, source: int, destination: int) -> Tensor:
    axes = list(range(np.ndim(x)))
    axes.insert(destination % len(axes), axes.pop(source % len(axes)))
    return ops.permute(x, axes=tuple(axes))


def _pieces(x: Any, sections: Any, axis: int) -> list[int]:
    """NumPy's two ways to say where to cut (so many equal pieces, or at these places) as sizes of the pieces."""
    total = np.shape(x)[axis]
    if isinstance(sections, int):
        if sections < 1 or total % sections:
            raise ValueError(f"np.split: {total} elements along axis {axis} do not make {sections} equal pieces")
        return [total // sections] * sections
    cuts = [0, *sections, total]
    return [end - start for start, end in pairwise(cuts)]
