"""A model as one function on arrays, for the single tokens of a generation.

It is what the model's layers offer (`tinytorch.layers.lower`), with `CachedCore` in the attentions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinytorch.autograd.recording import recorder
from tinytorch.layers import lower
from tinytorch.layers.changes import rely_on
from tinytorch.tensor import handlers, kernels
from tinytorch.transformer import GPT

USUAL = GPT.next_logits


def lower_next_logits(model: Any) -> Callable[..., Any] | None:
    """(ids, mask, positions, last_only) -> logits on arrays, where those of the last position are `next_logits`."""
    rely_on({(type(model), "next_logits"): type(model).next_logits})
    usual = type(model).next_logits is USUAL and "next_logits" not in model.__dict__
    return lower(model) if usual else None


def observed() -> bool:
    """Whether a handler other than the recorder wants to see operations, so that modules must run.

    Kernels need not: lowered functions are made of them.
    """
    return handlers() != (*kernels(), recorder)
