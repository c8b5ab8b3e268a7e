"""Structured pruning: whole neurons, heads and channels go, and what is left is a smaller model of the same kind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Literal, TypeAlias

import numpy as np

from tinytorch.attention import MultiHeadAttention
from tinytorch.layers import Linear, Module
from tinytorch.spatial import Conv2d
from tinytorch.tensor import Array
from tinytorch.transformer import FeedForward, TransformerConfig

from .chains import Chain, find_chains, named_chain
from .errors import CompressionError
from .heads import Heads, find_heads, projections_of
from .layers import Targets, check_amount, share_of

What: TypeAlias = Literal["neurons", "channels", "heads", "groups"]


def structured_prune(
    model: Module, amount: float, what: What = "neurons", targets: Targets = None,
    chains: Iterable[Iterable[str]] = (), importance: Mapping[str, Any] | None = None,
) -> dict[str, Array]:  # fmt: skip
    """Take the share `amount` of neurons, channels or heads out of a model, in place; returns those that stay, by name.

    "neurons" are the hidden numbers of feed-forward parts and of linear layers in a `Sequential`; "channels" those of
    convolutions in one, with the batch norms behind them. "heads" are heads of attention: where several share keys and
    values every group loses equally many; "groups" go with their keys and values. Layers that other code calls are
    chains that `chains` names: `[["conv1", "norm1", "conv2"]]`, the last of which reads what the first makes.

    The least important go: those with the smallest product of the weights that make and that read them, or the lowest
    numbers in `importance[name]`, such as measured gradients, one for each (for heads in groups, groups by heads in
    each). `targets` names those that are pruned, by the keys of the result. The number that goes is rounded down, so
    one always stays. Parameters stay the same objects, so a new optimizer is needed; sizes and `model.config` follow.

    Raises ValueError for arguments that mean nothing; CompressionError, before anything is changed, where there is
    nothing of the kind, for shared weights, for weights that are not finite, and while a key-value cache is enabled.

    Source: Li et al. 2016, Pruning filters for efficient ConvNets; Michel, Levy and Neubig 2019, Are sixteen heads
    really better than one?

    >>> from tinytorch.layers import Linear, ReLU, Sequential
    >>> model = Sequential(Linear(4, 8), ReLU(), Linear(8, 2))
    >>> kept = structured_prune(model, 0.5)
    >>> model
    Sequential          30 parameters
    ├─ 0: Linear(4, 4)  20
    ├─ 1: ReLU()
    └─ 2: Linear(4, 2)  10
    """
    check_amount("structured_prune", amount)
    if what not in ("neurons", "channels", "heads", "groups"):
        raise ValueError(f"structured_prune: what is {what!r}; it is 'neurons', 'channels', 'heads' or 'groups'")
    if not isinstance(model, Module):
        raise TypeError(f"structured_prune: got a {type(model).__name__}; it must be a Module")
    if getattr(model, "_cache_enabled", False):
        raise CompressionError("structured_prune: the model has a cache of its present sizes; disable_kv_cache(model)")
    units = _chosen(_find(model, what, chains), targets, what)
    _refuse_shared(model, units)
    _refuse_crossing(units.values())
    kept = {name: _largest(unit, amount, (importance or {}).get(name)) for name, unit in units.items()}
    if unknown := set(importance or {}) - set(kept):
        raise ValueError(f"structured_prune: importance of {min(unknown)!r}; there are {', '.join(kept)}")
    for name, unit in units.items():
        unit.keep(kept[name])
    _describe(model)
    return kept


def _find(model: Module, what: What, chains: Iterable[Iterable[str]]) -> dict[str, Chain | Heads]:
    if what in ("heads", "groups"):
        return {unit.name: unit for unit in find_heads(model, whole=what == "groups")}
    kind = Linear if what == "neurons" else Conv2d
    named = [named_chain(model, names) for names in chains]
    found = {chain.name: chain for chain in (*find_chains(model), *named)}  # one that is named replaces one found
    return {name: chain for name, chain in found.items() if isinstance(chain.producers[0], kind)}


def _chosen(units: dict[str, Any], targets: Targets, what: str) -> dict[str, Any]:
    if not units:
        raise CompressionError(
            f"structured_prune: no {what} whose layers are known; prune before adapters and quantization, "
            "and name the layers of a model of your own in chains"
        )
    if targets is None:
        return units
    wanted = [targets] if isinstance(targets, str) else list(targets)
    for target in wanted:
        if not any(name == target or name.endswith(f".{target}") for name in units):
            raise ValueError(f"structured_prune: no {what} are called {target!r}; there are {', '.join(units)}")
    return {
        name: unit for name, unit in units.items()
        if any(name == target or name.endswith(f".{target}") for target in wanted)
    }  # fmt: skip


def _layers_of(unit: Any) -> list[Module]:
    return [*unit.producers, unit.consumer] if isinstance(unit, Chain) else projections_of(unit.attention)


def _refuse_shared(model: Module, units: Mapping[str, Any]) -> None:
    """Raise CompressionError where a layer, or its weight, has a second place in the model, which would not follow."""
    places: dict[int, set[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        places.setdefault(id(parameter), set()).add(name)
    for name, unit in units.items():
        for layer in _layers_of(unit):
            for parameter in layer.parameters(recurse=False):
                if len(places[id(parameter)]) > 1:
                    raise CompressionError(
                        f"structured_prune: {name} shares weights ({', '.join(sorted(places[id(parameter)]))}), which "
                        "cannot become smaller in one place only; name others in targets"
                    )


def _refuse_crossing(units: Iterable[Chain | Heads]) -> None:
    """Raise CompressionError where two chains make, or read, the same numbers, of which each would take others out."""
    owners: dict[tuple[str, int], str] = {}
    for unit in units:
        if isinstance(unit, Chain):
            for place in (*(("out", id(layer)) for layer in unit.producers), ("in", id(unit.consumer))):
                if (other := owners.setdefault(place, unit.name)) != unit.name:
                    raise CompressionError(
                        f"structured_prune: the chains {other} and {unit.name} meet in one layer, which would lose the "
                        "inputs of both; leave them whole, or name others in targets"
                    )


def _largest(unit: Any, amount: float, given: Any) -> Array:
    """The most important ones, in their order: (n,), or (groups, n) for heads in each group."""
    usual = unit.importance()
    scores = usual if given is None else np.asarray(given, np.float64)
    if scores.shape != usual.shape or not np.isfinite(scores).all():
        seen = "weights or importance that are not finite" if scores.shape == usual.shape else f"shape {scores.shape}"
        raise CompressionError(f"structured_prune: {unit.name} has {seen}; one finite number for each of {usual.shape}")
    order = np.argsort(scores, axis=-1, kind="stable")
    kept: Array = np.sort(order[..., share_of(amount, unit.size) :], axis=-1)
    return kept


def _describe(model: Module) -> None:
    """Let the sizes that a transformer says of itself be those of its blocks, where these agree."""
    config = getattr(model, "config", None)
    if not isinstance(config, TransformerConfig):
        return
    modules = model.modules()
    hidden = {part.up.out_features for part in modules if isinstance(part, FeedForward)}
    heads = {(a.num_heads, a.num_kv_heads, a.head_dim) for a in modules if isinstance(a, MultiHeadAttention)}
    sizes: dict[str, Any] = {}
    usual = 4 * config.embed_dim if config.hidden_dim is None else config.hidden_dim
    if len(hidden) == 1 and hidden != {usual}:
        sizes["hidden_dim"] = hidden.pop()
    if len(heads) == 1:
        H, Hkv, Dh = heads.pop()
        if config.num_heads != H or Hkv != (config.num_kv_heads or config.num_heads):
            sizes |= {"num_heads": H, "num_kv_heads": None if Hkv == H else Hkv, "head_dim": Dh}
            if hasattr(model, "num_heads"):
                model.num_heads = H
    if sizes:
        model.config = replace(config, **sizes)
