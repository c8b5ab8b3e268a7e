"""Layers that most networks are made of."""

from __future__ import annotations

import math
from typing import Any

from tinytorch.tensor import Tensor, flatten, zeros
from tinytorch.tensor.tensor import wrap

from . import functional as F
from . import init
from .checks import positive, probability, row
from .init import Generator
from .lowering import Lowered, lowers
from .module import Module
from .parameter import DType, Parameter


class Linear(Module):
    """y = x @ weight + bias: (..., in_features) -> (..., out_features).

    The weight is (in_features, out_features), the transpose of PyTorch's, the bias (out_features,); both start
    uniformly drawn from ±1/sqrt(in_features).

    >>> Linear(3, 2)(Tensor([[1.0, 2.0, 3.0]])).shape
    (1, 2)
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, *, dtype: DType = None,
        generator: Generator = None,
    ) -> None:  # fmt: skip
        positive("Linear", in_features=in_features, out_features=out_features)
        self.in_features = in_features
        self.out_features = out_features
        bound = 1 / math.sqrt(in_features)
        self.weight = Parameter(zeros(in_features, out_features, dtype=dtype))
        init.uniform(self.weight, -bound, bound, generator=generator)
        self.bias: Parameter | None = None
        if bias:
            self.bias = Parameter(zeros(out_features, dtype=dtype))
            init.uniform(self.bias, -bound, bound, generator=generator)

    def forward(self, x: Any) -> Tensor:
        return F.linear(x, self.weight, self.bias)

    @lowers("forward")
    def lower(self) -> Lowered:
        return F.linear.lower(self.weight, self.bias)

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}" + ("" if self.bias is not None else ", bias=False")


class Embedding(Module):
    """A row of `embedding_dim` numbers for each of `num_embeddings` integers: (...) integer -> (..., embedding_dim).

    Rows start normally distributed; the row `padding_idx` starts as zeros and is not learned. Raises IndexError for
    integers outside the table.

    >>> Embedding(10, 4)(Tensor([[1, 2, 3]])).shape
    (1, 3, 4)
    """

    def __init__(
        self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None, *, dtype: DType = None,
        generator: Generator = None,
    ) -> None:  # fmt: skip
        positive("Embedding", num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        if padding_idx is not None:
            row("Embedding", "padding_idx", padding_idx, num_embeddings)
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.padding_idx = padding_idx
        self.weight = Parameter(zeros(num_embeddings, embedding_dim, dtype=dtype))
        init.normal(self.weight, generator=generator)
        if padding_idx is not None:
            self.weight.data[padding_idx] = 0

    def forward(self, indices: Any) -> Tensor:
        return F.embedding(self.weight, indices, padding_idx=self.padding_idx)

    @lowers("forward")
    def lower(self) -> Lowered:
        embedding, weight, padding_idx = F.embedding.lower(), self.weight, self.padding_idx
        return lambda indices: embedding(weight.data, indices, padding_idx=padding_idx)

    def unembed(self, x: Any, bias: Any = None) -> Tensor:
        """The product of x with every row, which is what a head that is tied to the table computes.

        (..., embedding_dim) -> (..., num_embeddings), to which `bias` (num_embeddings,) is added.

        >>> Embedding(10, 4).unembed(zeros(2, 4)).shape
        (2, 10)
        """
        return F.linear(x, self.weight.T, bias)

    @lowers("unembed")
    def lower_unembed(self) -> Lowered:
        linear, weight = F.linear.lower(), self.weight
        return lambda x: linear(x, weight.data.T)

    def extra_repr(self) -> str:
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"


class Dropout(Module):
    """While training, sets each number to zero with probability `p` and divides the others by 1 - p; else the identity.

    Source: Srivastava et al. 2014, Dropout, in the "inverted" form, which leaves the mean as it was.

    >>> Dropout(0.5).eval()(Tensor([1.0, 2.0]))
    Tensor([1., 2.])
    """

    def __init__(self, p: float = 0.5, *, generator: Generator = None) -> None:
        self.p = probability("Dropout", p)
        self.generator = generator

    def forward(self, x: Any) -> Tensor:
        return F.dropout(x, self.p, self.training, self.generator)

    @lowers("forward")
    def lower(self) -> Lowered | None:
        return None if self.training and self.p else lambda x: x

    def extra_repr(self) -> str:
        return f"{self.p}"


class Identity(Module):
    """Returns what comes in; arguments for another layer are ignored."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def forward(self, x: Any) -> Any:
        return x

    @lowers("forward")
    def lower(self) -> Lowered:
        return lambda x: x


class Flatten(Module):
    """Join the axes from `start` to `end` into one; by default all but the first, the batch.

    >>> Flatten()(zeros(2, 3, 4)).shape
    (2, 12)
    """

    def __init__(self, start: int = 1, end: int = -1) -> None:
        self.start = start
        self.end = end

    def forward(self, x: Any) -> Tensor:
        return flatten(x, self.start, self.end)

    @lowers("forward")
    def lower(self) -> Lowered:
        return lambda x: flatten(wrap(x), self.start, self.end).data

    def extra_repr(self) -> str:
        return "" if (self.start, self.end) == (1, -1) else f"{self.start}, {self.end}"
