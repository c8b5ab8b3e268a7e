"""Several optimizers as one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tinytorch.autograd import enable_grad

from .optimizer import Optimizer


class Together(Optimizer):
    """One optimizer out of several, each with its own parameters, such as Muon for the matrices and AdamW for the rest.

    Schedules reach the groups of all. When one refuses its gradients, none is updated. Raises ValueError for a
    parameter that belongs to two of them.

    >>> from tinytorch.layers import Linear
    >>> from tinytorch.optim import AdamW, Muon
    >>> layer = Linear(3, 2)
    >>> optimizer = Together(Muon([layer.weight]), AdamW([layer.bias]))
    >>> len(optimizer.param_groups)
    2
    """

    def __init__(self, *optimizers: Optimizer) -> None:
        if not optimizers:
            raise ValueError("Together: no optimizers; give at least one")
        self.optimizers = optimizers
        self.param_groups = [group for optimizer in optimizers for group in optimizer.param_groups]
        known: set[int] = set()
        for optimizer in optimizers:
            own = {id(p) for group in optimizer.param_groups for p in group["params"]}
            if known & own:
                raise ValueError(f"Together: {optimizer.kind} has parameters of another one; give each to one of them")
            known |= own

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        raise NotImplementedError("Together: add the group to one of the optimizers before putting them together")

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        found = [optimizer.gather() for optimizer in self.optimizers]
        for optimizer, gathered in zip(self.optimizers, found, strict=True):
            optimizer.apply(gathered)
        return loss

    def state_dict(self) -> dict[str, Any]:
        states = [optimizer.state_dict() for optimizer in self.optimizers]
        arrays = {f"{place}/{name}": array for place, s in enumerate(states) for name, array in s["arrays"].items()}
        return {"arrays": arrays, "meta": {"kind": self.kind, "optimizers": [state["meta"] for state in states]}}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        metas = saved.get("meta", {}).get("optimizers", [])
        if len(metas) != len(self.optimizers):
            raise ValueError(f"Together: the state is of {len(metas)} optimizers, here are {len(self.optimizers)}")
        before = [optimizer.state_dict() for optimizer in self.optimizers]
        try:
            for place, (optimizer, meta) in enumerate(zip(self.optimizers, metas, strict=True)):
                prefix = f"{place}/"
                arrays = {n.removeprefix(prefix): a for n, a in saved["arrays"].items() if n.startswith(prefix)}
                optimizer.load_state_dict({"arrays": arrays, "meta": meta})
        except ValueError:
            for optimizer, state in zip(self.optimizers, before, strict=True):
                optimizer.load_state_dict(state)
            raise

    def __repr__(self) -> str:
        return f"Together({', '.join(map(repr, self.optimizers))})"
