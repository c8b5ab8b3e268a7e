"""`LoRALinear`: a linear layer that is left as it is, plus two small matrices that are learned."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from tinytorch.layers import Dropout, Module, Parameter, init, lower, lowers
from tinytorch.layers import functional as F
from tinytorch.layers.lowering import Lowered
from tinytorch.tensor import Array, Tensor, add, default_dtype, multiply, zeros


class LoRALinear(Module):
    """base(x) + scaling · dropout(x) @ lora_A @ lora_B: (..., in_features) -> (..., out_features).

    `base` is any module that takes (..., in_features) to (..., out_features) and says these sizes. lora_A is
    (in_features, rank) and starts drawn from ±1/sqrt(in_features); lora_B is (rank, out_features) and starts as zeros,
    so that the layer starts as `base`.

    Source: Hu et al. 2021, LoRA: low-rank adaptation of large language models, section 4.1.
    """

    def __init__(
        self, base: Module, rank: int, scaling: float = 1.0, dropout: float = 0.0, *,
        dtype: npt.DTypeLike | None = None, generator: np.random.Generator | None = None,
    ) -> None:  # fmt: skip
        self.base = base
        self.in_features, self.out_features = sizes_of(base)
        self.rank, self.scaling = rank, scaling
        self.dropout = Dropout(dropout, generator=generator)
        dtype = dtype_of(base) if dtype is None else dtype
        self.lora_A = Parameter(zeros(self.in_features, rank, dtype=dtype))
        self.lora_B = Parameter(zeros(rank, self.out_features, dtype=dtype))
        bound = 1 / math.sqrt(self.in_features)
        init.uniform(self.lora_A, -bound, bound, generator=generator)

    def forward(self, x: Any) -> Tensor:
        low = F.linear(self.dropout(x), self.lora_A)  # (..., in) -> (..., rank)
        return self.base(x) + F.linear(low, self.lora_B) * self.scaling  # (..., rank) -> (..., out)

    @lowers("forward")
    def lower(self) -> Lowered | None:
        base, drop = lower(self.base), lower(self.dropout)
        if base is None or drop is None:
            return None
        down, up = F.linear.lower(self.lora_A, None), F.linear.lower(self.lora_B, None)
        plus, times, scaling = add.lower(), multiply.lower(), self.scaling
        return lambda x: plus(base(x), times(up(down(x)), scaling))

    def delta(self) -> Array:
        """What is added to the weight of the base by a merge: (in_features, out_features)."""
        product: Array = (self.lora_A.data @ self.lora_B.data) * self.scaling
        return product

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}, rank={self.rank}, scaling={self.scaling:g}"


def sizes_of(base: Module) -> tuple[int, int]:
    """Inputs and outputs of what acts like a linear layer."""
    return base.in_features, base.out_features  # type: ignore[attr-defined]


def dtype_of(base: Module) -> npt.DTypeLike:
    """That of the weight, where it is a parameter of floats; else the default one."""
    weight = getattr(base, "weight", None)
    learned = isinstance(weight, Parameter) and weight.dtype.kind == "f"
    return weight.dtype if learned else default_dtype()  # type: ignore[union-attr]
