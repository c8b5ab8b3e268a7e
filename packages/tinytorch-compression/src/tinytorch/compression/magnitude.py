"""Magnitude pruning: the smallest weights are set to zero and stay there.

Source: Han et al. 2015, Learning both weights and connections for efficient neural networks; in groups: Mishra et al.
2021, Accelerating sparse deep neural networks.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np

from tinytorch.layers import Module
from tinytorch.tensor import Array, check_int

from .errors import CompressionError
from .layers import Targets, check_amount, find, has_matrix, has_table, is_linear, once, share_of
from .masks import mask_of, set_mask

How: TypeAlias = Literal["layer", "global"]


def prune(model: Module, amount: float, how: How = "layer", targets: Targets = None) -> dict[str, float]:
    """Set the share `amount` of the weights, the smallest ones, to zero, and keep them there; returns it by layer.

    With `how="layer"` the share is that of each layer, with "global" that of all together: layers with many small
    weights then lose more. Weights that were pruned before count, and stay pruned. `targets` names layers; unless
    given, all linear layers and convolutions are meant, not embeddings, norms and biases. Shapes stay as they are:
    zeros make a file smaller when it is packed, and `structured_prune` makes a model faster.

    Raises ValueError for an amount that is not from 0 to below 1, and for targets that name no layer;
    CompressionError, before anything is changed, for weights that are not finite, and for an amount that would leave
    nothing of a layer.

    >>> from tinytorch.layers import Linear
    >>> layer = Linear(2, 2)
    >>> layer.weight.data[...] = [[1.0, -2.0], [0.5, 4.0]]
    >>> prune(layer, 0.5)
    {'': 0.5}
    >>> layer.weight.data
    array([[ 0., -2.],
           [ 0.,  4.]], dtype=float32)
    """
    check_amount("prune", amount)
    if how not in ("layer", "global"):
        raise ValueError(f"prune: how is {how!r}; it is 'layer' or 'global'")
    layers = once(find("prune", model, targets, has_matrix, has_table))
    sizes = {name: magnitudes("prune", name, layer) for name, layer in layers.items()}
    if how == "layer":
        kept = {name: largest(size, share_of(amount, size.size)) for name, size in sizes.items()}
    else:
        kept = _largest_of_all(sizes, amount)
    return apply(layers, kept)


def n_m_prune(model: Module, n: int = 2, m: int = 4, targets: Targets = None) -> dict[str, float]:
    """Keep the `n` largest of every `m` weights that are added up one after another; returns the pruned share by layer.

    The groups lie along the inputs of a layer: the rows of `Linear.weight`, the input channels of a convolution. 2:4 is
    what tensor cores of GPUs compute at twice the speed. Weights that were pruned before stay pruned, and are the first
    of their group to go. Raises as `prune` does, and CompressionError for a layer whose inputs `m` does not divide.

    >>> from tinytorch.layers import Linear
    >>> layer = Linear(4, 1)
    >>> layer.weight.data[...] = [[1.0], [-2.0], [0.5], [4.0]]
    >>> n_m_prune(layer, 2, 4)
    {'': 0.5}
    >>> layer.weight.data.ravel()
    array([ 0., -2.,  0.,  4.], dtype=float32)
    """
    check_int("n_m_prune", "n", n, minimum=1)
    check_int("n_m_prune", "m", m, minimum=1)
    if n > m:
        raise ValueError(f"n_m_prune: n is {n} and m is {m}; n of every m weights stay, so n is at most m")
    layers = once(find("n_m_prune", model, targets, has_matrix))
    for name, layer in layers.items():
        inputs = weight_of(layer).shape[input_axis(layer)]
        if inputs % m:
            raise CompressionError(
                f"n_m_prune: {name or 'the layer'} adds up {inputs} inputs, which groups of {m} do not divide; "
                "choose another m, or name other layers in targets"
            )
    kept = {
        name: _largest_in_groups(magnitudes("n_m_prune", name, layer), input_axis(layer), n, m)
        for name, layer in layers.items()
    }
    return apply(layers, kept)


def weight_of(layer: Any) -> Array:
    weight: Array = layer.weight.data
    return weight


def input_axis(layer: Module) -> int:
    """The axis of the weight that a product sums over: (in, out) of a linear layer, (out, in, ...) of a convolution."""
    return 0 if is_linear(layer) else 1


def magnitudes(owner: str, name: str, layer: Module) -> Array:
    """|weight|, and -1 where it is pruned already: those go first."""
    weight, known = weight_of(layer), mask_of(layer)
    if not np.isfinite(weight).all():
        raise CompressionError(
            f"{owner}: {name or 'the layer'} has weights that are NaN or infinite; none is the smallest, train again"
        )
    size = np.abs(weight)
    return size if known is None else np.where(known, size, size.dtype.type(-1))


def apply(layers: dict[str, Module], kept: dict[str, Array]) -> dict[str, float]:
    """Set the masks, and return the pruned share of each layer."""
    for name, layer in layers.items():
        set_mask(layer, kept[name])
    return {name: 1 - float(np.mean(keep)) for name, keep in kept.items()}


def largest(size: Array, removed: int) -> Array:
    """False for the smallest `removed` numbers and for those that are pruned already; of equal ones the first go."""
    keep = size.reshape(-1) >= 0
    if removed:
        keep[_smallest(size.reshape(-1), removed)] = False
    return keep.reshape(size.shape)


def _smallest(size: Array, count: int) -> Array:
    """The places of the `count` smallest numbers, of equal ones the first: a partition, which is faster than a sort."""
    limit = np.partition(size, count - 1)[count - 1]
    below, equal = np.flatnonzero(size < limit), np.flatnonzero(size == limit)
    return np.concatenate([below, equal[: count - len(below)]])


def _largest_of_all(sizes: dict[str, Array], amount: float) -> dict[str, Array]:
    joined = np.concatenate([size.reshape(-1) for size in sizes.values()])
    keep = largest(joined, share_of(amount, joined.size))
    ends = np.cumsum([size.size for size in sizes.values()])
    parts = np.split(keep, ends[:-1])
    kept = {name: part.reshape(size.shape) for (name, size), part in zip(sizes.items(), parts, strict=True)}
    for name, mask in kept.items():
        if not mask.any():
            raise CompressionError(
                f"prune: {amount} of all weights would leave nothing of {name}, whose weights are the smallest; "
                "use how='layer', a smaller amount, or targets without it"
            )
    return kept


def _largest_in_groups(size: Array, axis: int, n: int, m: int) -> Array:
    rows = np.moveaxis(size, axis, -1)  # (..., inputs)
    groups = rows.reshape(*rows.shape[:-1], -1, m)  # (..., inputs / m, m)
    order = np.argsort(groups, axis=-1, kind="stable")
    keep = groups >= 0
    np.put_along_axis(keep, order[..., : m - n], False, axis=-1)
    return np.moveaxis(keep.reshape(rows.shape), -1, axis)
