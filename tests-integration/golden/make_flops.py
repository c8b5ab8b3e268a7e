"""What PyTorch's FlopCounterMode counts: writes packages/tinytorch-profiler/tests/golden/flops.json.

Each case has the FLOPs of the forward, and of the backward to the inputs that require gradients.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

OUT = Path(__file__).resolve().parents[2] / "packages" / "tinytorch-profiler" / "tests" / "golden" / "flops.json"


def leaf(*shape: int, requires_grad: bool = True) -> torch.Tensor:
    return torch.ones(shape, requires_grad=requires_grad)


def count(function: Callable[[], torch.Tensor]) -> dict[str, int]:
    with FlopCounterMode(display=False) as forward:
        out = function()
    with FlopCounterMode(display=False) as backward:
        out.sum().backward()
    return {"forward": forward.get_total_flops(), "backward": backward.get_total_flops()}


def block(B: int, T: int, D: int, H: int) -> torch.Tensor:
    """A transformer block with its attention spelled out."""
    x = leaf(B, T, D)
    q, k, v, o = (nn.Linear(D, D) for _ in range(4))
    norm1, norm2, up, down = nn.LayerNorm(D), nn.LayerNorm(D), nn.Linear(D, 4 * D), nn.Linear(4 * D, D)
    h = norm1(x)
    heads = [p(h).reshape(B, T, H, D // H).transpose(1, 2) for p in (q, k, v)]
    weights = torch.softmax(heads[0] @ heads[1].mT / (D // H) ** 0.5, -1)
    x = x + o((weights @ heads[2]).transpose(1, 2).reshape(B, T, D))
    return x + down(F.gelu(up(norm2(x)), approximate="tanh"))


def mlp() -> torch.Tensor:
    logits = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))(leaf(32, 64, requires_grad=False))
    return F.cross_entropy(logits, torch.zeros(32, dtype=torch.int64))


def attention(q: tuple[int, ...], k: tuple[int, ...], v: tuple[int, ...]) -> dict[str, int]:
    """The formulas themselves: the mode knows the kernels of GPUs by them, and that of the CPU not at all."""
    out = (*q[:-1], v[-1])
    return {"forward": sdpa_flop_count(q, k, v), "backward": sdpa_backward_flop_count(out, q, k, v)}


CASES: dict[str, Callable[[], torch.Tensor]] = {
    "matmul": lambda: leaf(3, 4) @ leaf(4, 5),
    "matmul_of_stacks": lambda: leaf(2, 3, 4) @ leaf(2, 4, 5),
    "matmul_of_a_stack_and_a_matrix": lambda: leaf(2, 3, 4) @ leaf(4, 5),
    "matmul_broadcast": lambda: leaf(2, 1, 3, 4) @ leaf(5, 4, 6),
    "matmul_left_gradient": lambda: leaf(3, 4) @ leaf(4, 5, requires_grad=False),
    "matmul_right_gradient": lambda: leaf(3, 4, requires_grad=False) @ leaf(4, 5),
    "linear": lambda: F.linear(leaf(6, 3), leaf(7, 3), leaf(7)),
    "linear_of_a_sequence": lambda: F.linear(leaf(2, 6, 3), leaf(7, 3), leaf(7)),
    "linear_of_data": lambda: F.linear(leaf(6, 3, requires_grad=False), leaf(7, 3), leaf(7)),
    "einsum_of_matrices": lambda: torch.einsum("ij,jk->ik", leaf(3, 4), leaf(4, 5)),
    "einsum_of_scores": lambda: torch.einsum("bhqd,bhkd->bhqk", leaf(2, 3, 5, 4), leaf(2, 3, 6, 4)),
    "conv2d": lambda: F.conv2d(leaf(2, 3, 8, 8), leaf(5, 3, 3, 3), leaf(5), padding=1),
    "conv2d_strided": lambda: F.conv2d(leaf(2, 3, 9, 8), leaf(5, 3, 3, 2), stride=2),
    "conv2d_of_data": lambda: F.conv2d(leaf(2, 3, 8, 8, requires_grad=False), leaf(5, 3, 3, 3), padding=1),
    "mlp": mlp,
    "transformer_block": lambda: block(2, 6, 8, 2),
}


def main() -> None:
    OUT.parent.mkdir(parents=True, exist_ok=True)
    counts = {name: count(function) for name, function in CASES.items()}
    counts["attention"] = attention((2, 3, 5, 4), (2, 3, 6, 4), (2, 3, 6, 7))
    OUT.write_text(json.dumps(counts, indent=1) + "\n")


if __name__ == "__main__":
    main()
