"""Whole training steps: the same losses with kernels and without, and nothing left behind."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytorch.acceleration import accelerating
from tinytorch.layers import functional as F
from tinytorch.optim import AdamW
from tinytorch.tensor import manual_seed
from tinytorch.transformer import GPT

TOKENS = np.random.default_rng(0).integers(0, 30, (4, 17))


def train(steps: int, dtype: Any) -> tuple[list[float], list[Any]]:
    """Losses, and the parameters behind the last step, of a small GPT."""
    manual_seed(0)
    model = GPT(30, 16, 2, 2, 16).astype(dtype)
    optimizer = AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(TOKENS[:, :-1]), TOKENS[:, 1:])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses, [p.data for p in model.parameters()]


def test_losses_are_the_same_with_kernels_and_nothing_stays_of_them() -> None:
    plain, parameters = train(5, np.float64)
    with accelerating() as during:
        fast, _ = train(5, np.float64)
        again, _ = train(5, np.float64)
    np.testing.assert_allclose(fast, plain, rtol=1e-10)
    assert fast == again and plain[-1] < plain[0]
    for name in ("attention backward", "gelu", "layer_norm backward", "softmax_cross_entropy", "Adam update"):
        assert during[name].served and not during[name].unserved, during
    after, parameters_after = train(5, np.float64)
    assert after == plain
    for one, other in zip(parameters, parameters_after, strict=True):
        np.testing.assert_array_equal(one, other)
