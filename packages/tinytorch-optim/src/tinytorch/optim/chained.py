"""Several optimizers as one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import state
from .buckets import Group
from .optimizer import Optimizer


class ChainedOptimizer(Optimizer):
    """One optimizer out of several, each with its own parameters, such as Muon for the matrices and AdamW for the rest.

    Schedules reach the groups of all. When one of them refuses its gradients or its part of a state, none is changed.
    Raises ValueError for a parameter that two of them have.

    >>> from tinytorch.layers import Linear
    >>> from tinytorch.optim import AdamW, Muon
    >>> layer = Linear(3, 2)
    >>> optimizer = ChainedOptimizer(Muon([layer.weight]), AdamW([layer.bias]))
    >>> len(optimizer.param_groups)
    2
    """

    def __init__(self, *optimizers: Optimizer) -> None:
        if not optimizers:
            raise ValueError("ChainedOptimizer: no optimizers; give at least one")
        self.optimizers = optimizers
        owned = [id(p) for group in self.param_groups for p in group["params"]]
        if len(set(owned)) < len(owned):
            raise ValueError("ChainedOptimizer: two optimizers have the same parameter; give each to one of them")

    @property
    def param_groups(self) -> list[Group]:  # type: ignore[override]
        """The groups of all."""
        return [group for optimizer in self.optimizers for group in optimizer.param_groups]

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        raise NotImplementedError("ChainedOptimizer: add the group to one of its optimizers")

    def gather(self) -> list[Any]:
        return [optimizer.gather() for optimizer in self.optimizers]

    def apply(self, found: list[Any]) -> None:
        for optimizer, gathered in zip(self.optimizers, found, strict=True):
            optimizer.apply(gathered)

    def state_dict(self) -> dict[str, Any]:
        states = [optimizer.state_dict() for optimizer in self.optimizers]
        arrays = {f"{place}/{name}": array for place, s in enumerate(states) for name, array in s["arrays"].items()}
        return {"arrays": arrays, "meta": {"kind": self.kind, "optimizers": [s["meta"] for s in states]}}

    def read_state(self, saved: Mapping[str, Any]) -> list[Any]:
        metas, arrays = state.open_state(self.kind, saved, "optimizers")
        if len(metas) != len(self.optimizers):
            raise ValueError(f"{self.kind}: the state has {len(metas)} optimizers, here are {len(self.optimizers)}")
        parts: list[dict[str, Any]] = [{"arrays": {}, "meta": meta} for meta in metas]
        for name, array in arrays.items():
            place, _, rest = name.partition("/")
            if not place.isdecimal() or int(place) >= len(parts):
                raise ValueError(f"{self.kind}: the state has {name!r}, which belongs to none of its optimizers")
            parts[int(place)]["arrays"][rest] = array
        return [optimizer.read_state(part) for optimizer, part in zip(self.optimizers, parts, strict=True)]

    def restore(self, found: list[Any]) -> None:
        for optimizer, part in zip(self.optimizers, found, strict=True):
            optimizer.restore(part)

    def __repr__(self) -> str:
        return f"{self.kind}({', '.join(map(repr, self.optimizers))})"
