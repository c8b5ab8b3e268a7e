"""Compiled products with codes, in place of NumPy's while acceleration is enabled, which imports this."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from tinytorch.acceleration import Unserved, serves
from tinytorch.acceleration.emitting import UnknownPart, Writer, emits
from tinytorch.acceleration.programs import crew
from tinytorch.tensor import Array, Tensor

from . import operations
from .checks import check_codes
from .embedding import QuantizedEmbedding
from .linear import QuantizedLinear, quantized_linear
from .module import QuantizedModule

MOST_ROWS = 8
"""Rows of x at once; for more it pays to make the numbers once and ask the matrix library."""

SHARED = "two groups share a byte"


def shares_bytes(weight: Array, scale: Array) -> bool:
    """Whether a byte holds codes of two groups, which have scales of their own: groups of an odd size do that."""
    return weight.dtype == np.uint8 and scale.shape[1] > 1 and 2 * weight.shape[1] // scale.shape[1] % 2 == 1


@emits(QuantizedLinear)
def write_linear(
    writer: Writer, layer: QuantizedLinear, x: Array, out: Array, add: bool = False, activation: int = 0
) -> None:
    if layer.activations is not None:
        raise UnknownPart("activations of 8 bits")
    write_codes(writer, layer, x, out, layer.bias, add, activation)


@emits(QuantizedEmbedding, "unembed")
def write_unembed(writer: Writer, table: QuantizedEmbedding, x: Array, out: Array) -> None:
    write_codes(writer, table, x, out, None, False, 0)


def write_codes(
    writer: Writer, layer: QuantizedModule, x: Array, out: Array, bias: Tensor | None, add: bool, activation: int
) -> None:
    """Append the product with the codes of a layer, whose memory the writer watches."""
    if layer.scale is None:
        raise UnknownPart("weights of 16 bits")
    if shares_bytes(layer.weight.data, layer.scale.data):
        raise UnknownPart(SHARED)
    weight: Any = writer.weight(layer.weight, np.int8, np.uint8)
    scale: Any = writer.weight(layer.scale)
    zero_point = writer.weight(layer.zero_point, np.int8, np.uint8)
    write_product(writer, x, weight, scale, zero_point, writer.weight(bias), out, add, activation)


def write_product(
    writer: Writer, x: Array, weight: Array, scale: Array, zero_point: Array | None, bias: Array | None, out: Array,
    add: bool = False, activation: int = 0,
) -> None:  # fmt: skip
    """Append what `quantized_linear` computes: x (rows, n) -> out (rows, m)."""
    packed, groups = weight.dtype == np.uint8, scale.shape[1]
    (m, n), rows = (weight.shape[0], x.shape[1]), writer.rows
    even, odd = (writer.empty(n // 2), writer.empty(n // 2)) if packed else (None, None)
    sums = writer.empty(groups) if packed or zero_point is not None else None
    if sums is not None:
        writer.add(operations.split, rows, rows, x, even, odd, sums, n, groups)
    sizes = (rows, n, m, groups, add, activation)
    block = writer.columns(m, n)
    if packed:
        writer.add(operations.nibble_rows, m, block, even, weight, scale, zero_point, sums, bias, out, *sizes, odd)
    else:
        writer.add(operations.byte_rows, m, block, x, weight, scale, zero_point, sums, bias, out, *sizes)


@serves(quantized_linear)
def linear_of_codes(
    x: Array, weight: Array, scale: Array | None = None, zero_point: Array | None = None, bias: Array | None = None
) -> tuple[Array, None] | Unserved:
    """A few rows of x with the codes as they are, one operation."""
    if scale is None:
        return Unserved("weights of 16 bits")
    for each in (x, scale, bias):
        if each is not None and (type(each) is not np.ndarray or each.dtype != np.float32):
            return Unserved("not all numbers are float32")
    for each in (x, weight, scale, zero_point, bias):
        if each is not None and not each.flags.c_contiguous:
            return Unserved("not contiguous")
    if not x.ndim or not 0 < (count := prod(x.shape[:-1])) <= MOST_ROWS:
        return Unserved("many rows")
    m, n = check_codes("quantized_linear", x, weight, scale, zero_point, bias)
    if shares_bytes(weight, scale):
        return Unserved(SHARED)
    out, writer = np.empty((*x.shape[:-1], m), np.float32), Writer(count)
    write_product(writer, x.reshape(count, n), weight, scale, zero_point, bias, out.reshape(count, m))
    crew.run(writer.table())
    return out, None
