"""Rows of a table of integers, looked up by number."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt

from tinytorch.autograd import defconst
from tinytorch.layers import Embedding, Parameter, init, lowers
from tinytorch.layers.checks import positive
from tinytorch.layers.functional import embedding
from tinytorch.layers.lowering import Lowered
from tinytorch.tensor import Array, Tensor, primitive

from .codes import Codes, dequantize_rows
from .half import Half
from .linear import quantized_linear
from .module import QuantizedModule, lowered_with
from .scheme import Scheme, scheme_of


@primitive
def quantized_embedding(
    indices: Array, weight: Array, scale: Array | None = None, zero_point: Array | None = None, /, dtype: Any = None
) -> Array:
    """The numbers of row `indices[...]` of a table of codes: (...) integer, (V, D) -> (..., D).

    `weight` is (V, D) int8, (V, D / 2) uint8 or of 16 bits, `scale` and `zero_point` (V, groups): see `Codes`. The
    result has the `dtype` of the scales unless another is given. Raises as `functional.embedding` does.

    >>> table = np.array([[1, 2], [3, 4]], np.int8)
    >>> quantized_embedding(Tensor([1, 0]), table, Tensor([[0.5], [10.0]]))
    Tensor([[30. , 40. ],
            [ 0.5,  1. ]])
    """
    chosen, _ = embedding.forward(weight, indices)  # (V, D) -> (..., D)
    flat = np.reshape(indices, -1)
    others = (None if each is None else each[flat] for each in (scale, zero_point))
    rows = dequantize_rows(chosen.reshape(-1, weight.shape[1]), *others)
    return rows.reshape(*np.shape(indices), rows.shape[1]).astype(dtype or rows.dtype, copy=False)


defconst(quantized_embedding, reason="the table is integers")


class QuantizedEmbedding(QuantizedModule):
    """`Embedding` with numbers of 2 to 8 bits, or 16: (...) integer -> (..., embedding_dim).

    `weight` holds codes, (num_embeddings, embedding_dim) int8, or two in each byte of (num_embeddings,
    embedding_dim / 2) uint8. A head that is tied to the table, `unembed`, multiplies with the same codes.

    >>> table = QuantizedEmbedding.from_float(Embedding(10, 4), Scheme(bits=8))
    >>> table([[1, 2, 3]]).shape, table.unembed(table([1])).shape
    ((1, 3, 4), (1, 10))
    """

    replaces = Embedding

    def __init__(
        self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None, *, bits: int | str = 8,
        group_size: int | None = None, symmetric: bool = True, dtype: npt.DTypeLike | None = None,
    ) -> None:  # fmt: skip
        positive("QuantizedEmbedding", num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.padding_idx = padding_idx
        super().__init__(scheme_of(bits, group_size, symmetric), num_embeddings, embedding_dim, dtype)

    @staticmethod
    def rows_of(layer: Embedding) -> Array:
        return layer.weight.data

    @classmethod
    def from_float(cls, layer: Embedding, scheme: Scheme | Half, codes: Codes | None = None) -> Self:
        drawn = {"dtype": layer.weight.dtype, **scheme.options}
        made = cls(layer.num_embeddings, layer.embedding_dim, layer.padding_idx, **drawn)
        return made.hold(codes or scheme.quantize(cls.rows_of(layer)))

    def to_float(self) -> Embedding:
        with init.undrawn():
            layer = Embedding(self.num_embeddings, self.embedding_dim, self.padding_idx, dtype=self.dtype)
        layer.weight = Parameter(self.numbers(), self.dtype)
        return layer

    def forward(self, indices: Any) -> Tensor:
        return quantized_embedding(indices, self.weight, self.scale, self.zero_point, dtype=self.dtype)

    @lowers("forward")
    def lower(self) -> Lowered:
        look_up = quantized_embedding.lower()
        return lambda indices: look_up(indices, *self.codes, dtype=self.dtype)

    def unembed(self, x: Any, bias: Any = None) -> Tensor:
        """The product of x with every row: (..., embedding_dim) -> (..., num_embeddings), plus `bias`."""
        return quantized_linear(x, self.weight, self.scale, self.zero_point, bias)

    @lowers("unembed")
    def lower_unembed(self) -> Lowered:
        return lowered_with(quantized_linear.lower(), self.weight, self.scale, self.zero_point)

    def extra_repr(self) -> str:
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}, {self.describe()}"
