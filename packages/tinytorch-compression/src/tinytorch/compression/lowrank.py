"""Low-rank factors: a matrix of weights as the product of two narrow ones, wherever these hold fewer numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytorch.layers import Linear, Module, Parameter, Sequential, init, lower, lowers
from tinytorch.layers.checks import real
from tinytorch.layers.lowering import Lowered
from tinytorch.spatial import Conv2d
from tinytorch.tensor import Array, Tensor, check_int

from .chains import is_plain, matrix_of
from .errors import CompressionError
from .layers import Targets, find
from .masks import mask_of


class FactorizedLinear(Module):
    """y = (x @ first) @ second + bias: (..., in_features) -> (..., rank) -> (..., out_features)."""

    def __init__(self, first: Linear, second: Linear) -> None:
        self.in_features, self.out_features = first.in_features, second.out_features
        self.rank = first.out_features
        self.first, self.second = first, second

    def forward(self, x: Any) -> Tensor:
        return self.second(self.first(x))  # (..., in) -> (..., rank) -> (..., out)

    @lowers("forward")
    def lower(self) -> Lowered | None:
        first, second = lower(self.first), lower(self.second)
        return None if first is None or second is None else lambda x: second(first(x))

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}, rank={self.rank}"


def factorize(
    model: Module, rank: int | None = None, energy: float | None = None, targets: Targets = None
) -> dict[str, int]:
    """Replace layers by the two layers that come closest to them, and return the rank of each that was replaced.

    Give `rank`, or `energy`: the share of the squared singular values that stays, above 0 and up to 1. A linear layer
    (in, out) becomes a `FactorizedLinear` (in, rank), (rank, out); a convolution one with `rank` kernels and one of
    1 x 1. Layers of which the two would hold no fewer numbers stay as they are. `targets` names layers; unless given,
    all linear layers and convolutions in one group are meant. No other factors of this rank are closer to the weight:
    the squared distance is the sum of the squared singular values that are left out.

    Raises ValueError for arguments that mean nothing; CompressionError, before anything is changed, for a rank that a
    layer does not have, shared weights, masks, and weights that are not finite.

    Source: Eckart and Young 1936, The approximation of one matrix by another of lower rank.

    >>> model = Sequential(Linear(64, 64), Linear(64, 2))
    >>> factorize(model, rank=2)
    {'0': 2}
    >>> model
    Sequential                              450 parameters
    ├─ 0: FactorizedLinear(64, 64, rank=2)  320
    │  ├─ first: Linear(64, 2, bias=False)  128
    │  └─ second: Linear(2, 64)             192
    └─ 1: Linear(64, 2)                     130
    """
    if (rank is None) == (energy is None):
        raise ValueError("factorize: give either rank or energy")
    if rank is not None:
        check_int("factorize", "rank", rank, minimum=1)
    elif not 0 < real("factorize", "energy", energy) <= 1:  # type: ignore[arg-type]
        raise ValueError(f"factorize: energy is {energy}; it is the share that stays, above 0 and up to 1")
    layers = find("factorize", model, targets, is_plain)
    for name, layer in layers.items():
        _refuse(model, name, layer, rank)
    made: dict[str, tuple[int, Module]] = {}
    for name, layer in layers.items():
        weight = matrix_of(layer)  # (out, in)
        left, values, right = np.linalg.svd(weight.astype(np.result_type(weight, np.float32)), full_matrices=False)
        r = rank_of(values, energy) if rank is None else rank
        if r * sum(weight.shape) < weight.size:
            root = np.sqrt(values[:r])
            made[name] = r, _pair(layer, (root[:, None] * right[:r]), left[:, :r] * root)
    for name, (_, pair) in made.items():
        model.set_submodule(name, pair)
    return {name: r for name, (r, _) in made.items()}


def rank_of(values: Array, energy: float | None) -> int:
    """How many singular values, the largest, have this share of the sum of all their squares."""
    sums = np.cumsum(np.square(values, dtype=np.float64))
    return int(np.searchsorted(sums, (energy or 0) * sums[-1])) + 1


def _refuse(model: Module, name: str, layer: Any, rank: int | None) -> None:
    shown = name or "the model"
    weight = matrix_of(layer)
    problem = None
    if not name:
        problem = "is itself the layer, which cannot be replaced; put it into a Sequential"
    elif rank is not None and rank > min(weight.shape):
        problem = f"has rank {min(weight.shape)} at most, and {rank} is asked for; choose less, or other targets"
    elif mask_of(layer) is not None:
        problem = "is pruned, and factors have no zeros; make_permanent(model) first"
    elif not np.isfinite(weight).all():
        problem = "has weights that are NaN or infinite; train again"
    else:
        all_names = model.named_parameters(remove_duplicate=False)
        shared = [other for other, parameter in all_names if parameter is layer.weight]
        if len(shared) > 1:
            problem = f"shares its weight ({', '.join(shared)}), so that nothing would be saved; name others in targets"
    if problem:
        raise CompressionError(f"factorize: {shown} {problem}")


def _pair(layer: Any, first: Array, second: Array) -> Module:
    """Two layers in the place of one, from their weights (rank, in) and (out, rank)."""
    rank, dtype = len(first), layer.weight.dtype
    with init.undrawn():
        if isinstance(layer, Linear):
            pair: list[Any] = [
                Linear(layer.in_features, rank, bias=False, dtype=dtype),
                Linear(rank, layer.out_features, bias=layer.bias is not None, dtype=dtype),
            ]
            weights = first.T, second.T
        else:
            shape = {"stride": layer.stride, "padding": layer.padding, "dilation": layer.dilation}
            pair = [
                Conv2d(layer.in_channels, rank, layer.kernel_size, bias=False, dtype=dtype, **shape),
                Conv2d(rank, layer.out_channels, 1, bias=layer.bias is not None, dtype=dtype),
            ]
            weights = first.reshape(pair[0].weight.shape), second.reshape(pair[1].weight.shape)
    for each, weight in zip(pair, weights, strict=True):
        each.weight = Parameter(np.ascontiguousarray(weight), dtype, layer.weight.requires_grad)
    pair[1].bias = layer.bias  # the parameter itself
    whole = FactorizedLinear(*pair) if isinstance(layer, Linear) else Sequential(*pair)
    return whole.train(layer.training)
