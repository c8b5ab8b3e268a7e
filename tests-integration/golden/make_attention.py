"""PyTorch's attention, values and gradients: writes packages/tinytorch-attention/tests/golden/attention.npz."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

OUT = Path(__file__).resolve().parents[2] / "packages" / "tinytorch-attention" / "tests" / "golden"


def main() -> None:
    rng = np.random.default_rng(0)
    B, H, T, S, D = 2, 4, 5, 7, 6
    found: dict[str, np.ndarray] = {
        "square": np.stack([rng.normal(size=(B, H, T, D)) for _ in range(3)]),
        "query": rng.normal(size=(B, H, T, D)),
        "shared": np.stack([rng.normal(size=(B, 2, S, D)) for _ in range(2)]),
        "boolean": rng.random((B, 1, T, S)) < 0.6,
        "additive": rng.normal(size=(H, T, S)),
        "weight": rng.normal(size=(B, H, T, D)),
    }
    found["boolean"][..., 0] = True  # PyTorch has NaN where a row has nothing to attend to

    def case(name: str, q: np.ndarray, k: np.ndarray, v: np.ndarray, **how: object) -> None:
        inputs = [torch.tensor(x, requires_grad=True) for x in (q, k, v)]
        out = F.scaled_dot_product_attention(*inputs, enable_gqa=True, **how)
        gradients = torch.autograd.grad(out, inputs, torch.tensor(found["weight"]))
        found[f"{name}.out"] = out.detach().numpy()
        found.update({f"{name}.d{letter}": g.numpy() for letter, g in zip("qkv", gradients, strict=True)})

    case("plain", *found["square"])
    case("causal", *found["square"], is_causal=True)
    case("grouped", found["query"], *found["shared"])
    case("boolean_mask", found["query"], *found["shared"], attn_mask=torch.tensor(found["boolean"]))
    case("additive_mask", found["query"], *found["shared"], attn_mask=torch.tensor(found["additive"]), scale=0.7)
    OUT.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(OUT / "attention.npz", **found)


if __name__ == "__main__":
    main()
