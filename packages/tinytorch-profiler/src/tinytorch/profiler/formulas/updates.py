"""Updates of parameters: operations per number, as the rules of tinytorch-optim compute them after their first step.

Products are not counted, so Muon has no formula. Coupled weight decay takes 2 operations per number, decoupled 1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..flops import flops_of
from ..shaped import Shaped

PER_NUMBER: dict[str, Callable[[dict[str, Any]], int]] = {
    "SGD": lambda o: 2 + 3 * (o["momentum"] > 0) + 2 * o["nesterov"] + 2 * (o["weight_decay"] > 0),
    "Adam": lambda o: 12 + o["amsgrad"] + 2 * (o["weight_decay"] > 0),
    "AdamW": lambda o: 12 + o["amsgrad"] + (o["weight_decay"] > 0),
    "RMSprop": lambda o: 9 + 5 * o["centered"] + 2 * (o["momentum"] > 0) + 2 * (o["weight_decay"] > 0),
    "Lion": lambda o: 9 + (o["weight_decay"] > 0),
}


def count_per_number(kind: str, operations: Callable[[dict[str, Any]], int]) -> None:
    def count(out: Shaped, *numbers: Shaped, **options: Any) -> int:
        return sum(x.size for x in numbers) * operations(options)

    flops_of(kind, elementwise=True)(count)


for kind, operations in PER_NUMBER.items():
    count_per_number(kind, operations)
