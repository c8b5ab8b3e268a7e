"""The training steps with compiled kernels, beside PyTorch eager and torch.compile."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from . import adam, gpt, mlp, spatial
from .entry import Entry, Step

MADE = {entry.name: entry for module in (gpt, mlp, spatial, adam) for entry in module.ENTRIES}
STEPS = [*gpt.SIZES, "mlp", "lenet", "adam-1m", "adam-10m"]


def faster(prepare: Callable[[], Step]) -> Step:
    """The step that `prepare` makes, with acceleration on in this process."""
    from tinytorch.acceleration import enable_acceleration

    enable_acceleration()
    return prepare()


def compiled_peer(name: str) -> Step:
    return gpt.peer(gpt.SIZES[name][0], compiled=True)


ENTRIES = [
    Entry(
        f"accelerated-{name}", partial(faster, MADE[name].ours), MADE[name].peer, MADE[name].peer_name,
        0.75, tolerance=MADE[name].tolerance,
    )
    for name in STEPS
] + [
    Entry(f"compiled-{name}", partial(faster, MADE[name].ours), partial(compiled_peer, name), "torch.compile", 1.0)
    for name in gpt.SIZES
]  # fmt: skip
