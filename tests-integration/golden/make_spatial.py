"""PyTorch's convolution, pooling and batch norm in float64: packages/tinytorch-spatial/tests/golden/spatial.npz.

Inputs are float32 numbers held as float64, so that both precisions start from the same. The parameters of each case
are in spatial.json, which the test reads too.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

OUT = Path(__file__).resolve().parents[2] / "packages" / "tinytorch-spatial" / "tests" / "golden"

rng = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray:
    return rng.normal(size=shape).astype(np.float32).astype(np.float64)


def whole(*shape: int) -> np.ndarray:
    """Few different numbers, so that windows hold equal ones."""
    return rng.integers(-2, 3, shape).astype(np.float64)


Case = tuple[str, dict[str, np.ndarray], dict[str, Any]]


def conv(n: int, channels: int, size: tuple[int, int], out: int, kernel: tuple[int, int], **params: Any) -> Case:
    groups = params.get("groups", 1)
    inputs = {"x": normal(n, channels, *size), "weight": normal(out, channels // groups, *kernel), "bias": normal(out)}
    return "conv2d", inputs, params


CASES: dict[str, Case] = {
    "conv": conv(2, 3, (6, 5), 4, (3, 3)),
    "conv_padded": conv(2, 3, (6, 5), 4, (3, 3), padding=1),
    "conv_strided": conv(2, 3, (7, 8), 4, (3, 3), stride=2),
    "conv_strided_padded_unevenly": conv(2, 2, (7, 6), 3, (3, 2), stride=[2, 3], padding=[2, 1]),
    "conv_dilated": conv(2, 2, (7, 8), 3, (3, 2), dilation=[2, 3]),
    "conv_of_everything": conv(3, 4, (9, 7), 6, (3, 2), stride=[1, 2], padding=[2, 1], dilation=[2, 1], groups=2),
    "conv_grouped": conv(2, 6, (5, 4), 9, (2, 3), groups=3),
    "conv_depthwise": conv(2, 4, (5, 5), 8, (3, 3), padding=1, groups=4),
    "conv_one_pixel": conv(2, 5, (3, 4), 3, (1, 1)),
    "conv_one_pixel_strided": conv(2, 5, (5, 4), 3, (1, 1), stride=2),
    "conv_same": conv(2, 2, (5, 6), 3, (3, 3), padding="same"),
    "conv_same_of_even_kernel": conv(2, 2, (5, 6), 3, (2, 4), padding="same", dilation=[1, 2]),
    "conv_valid": conv(1, 2, (5, 6), 3, (2, 3), padding="valid"),
    "conv_of_the_whole_image": conv(2, 2, (4, 3), 3, (4, 3)),
    "conv_of_one_image": conv(1, 1, (8, 8), 1, (5, 5), padding=2),
    "max": ("max_pool2d", {"x": normal(2, 3, 6, 8)}, {"kernel_size": 2}),
    "max_of_odd_size": ("max_pool2d", {"x": normal(2, 3, 7, 5)}, {"kernel_size": 2}),
    "max_of_equals": ("max_pool2d", {"x": whole(3, 2, 6, 7)}, {"kernel_size": [3, 2], "stride": [1, 2]}),
    "max_overlapping": ("max_pool2d", {"x": normal(2, 2, 7, 7)}, {"kernel_size": 3, "stride": 2, "padding": 1}),
    "max_dilated": (
        "max_pool2d",
        {"x": whole(2, 2, 8, 9)},
        {"kernel_size": [2, 3], "stride": [2, 1], "padding": [1, 1], "dilation": [3, 2]},
    ),
    "max_rounded_up": (
        "max_pool2d",
        {"x": normal(2, 2, 6, 8)},
        {"kernel_size": 3, "stride": [2, 3], "padding": [1, 0], "ceil_mode": True},
    ),
    "avg": ("avg_pool2d", {"x": normal(2, 3, 6, 8)}, {"kernel_size": 2}),
    "avg_overlapping": (
        "avg_pool2d",
        {"x": normal(2, 2, 7, 6)},
        {"kernel_size": [3, 2], "stride": [2, 1], "padding": [1, 1]},
    ),
    "avg_without_padding_counted": (
        "avg_pool2d",
        {"x": normal(2, 2, 7, 6)},
        {"kernel_size": 3, "stride": 2, "padding": 1, "count_include_pad": False},
    ),
    "avg_rounded_up": (
        "avg_pool2d",
        {"x": normal(2, 2, 6, 8)},
        {"kernel_size": 3, "stride": [2, 3], "padding": [1, 0], "ceil_mode": True},
    ),
    "avg_rounded_up_without_padding_counted": (
        "avg_pool2d",
        {"x": normal(2, 2, 6, 8)},
        {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True, "count_include_pad": False},
    ),
    "avg_with_a_divisor": ("avg_pool2d", {"x": normal(1, 2, 4, 4)}, {"kernel_size": 2, "divisor_override": 3}),
    "adaptive_to_one": ("adaptive_avg_pool2d", {"x": normal(2, 3, 5, 4)}, {"output_size": 1}),
    "adaptive_even": ("adaptive_avg_pool2d", {"x": normal(2, 2, 6, 8)}, {"output_size": [3, 2]}),
    "adaptive_uneven": ("adaptive_avg_pool2d", {"x": normal(2, 2, 7, 5)}, {"output_size": [3, 4]}),
    "adaptive_larger": ("adaptive_avg_pool2d", {"x": normal(1, 2, 3, 2)}, {"output_size": [5, 3]}),
    "adaptive_keeping": ("adaptive_avg_pool2d", {"x": normal(1, 2, 3, 4)}, {"output_size": [None, 2]}),
    "norm_of_the_batch": (
        "batch_norm",
        {"x": normal(3, 2, 4, 3), "weight": normal(2), "bias": normal(2)},
        {"training": True, "eps": 0.01},
    ),
    "norm_of_known": (
        "batch_norm",
        {"x": normal(3, 2, 4, 3), "weight": normal(2), "bias": normal(2)},
        {"running_mean": [0.5, -1.0], "running_var": [0.25, 2.0], "training": False},
    ),
    "norm_of_vectors": ("batch_norm", {"x": normal(5, 3)}, {"training": True}),
}


def apply(function: str, inputs: dict[str, torch.Tensor], params: dict[str, Any]) -> torch.Tensor:
    if function == "batch_norm":
        known = [
            torch.tensor(params[name], dtype=torch.float64) if name in params else None
            for name in ("running_mean", "running_var")
        ]
        rest = {key: value for key, value in params.items() if not key.startswith("running")}
        return F.batch_norm(inputs["x"], *known, inputs.get("weight"), inputs.get("bias"), **rest)
    result: torch.Tensor = getattr(F, function)(*inputs.values(), **params)
    return result


def batch_norm_history(momentum: float | None) -> dict[str, np.ndarray]:
    """The buffers of a module after each of three batches, and what it then makes of a fourth."""
    module = torch.nn.BatchNorm2d(3, momentum=momentum, dtype=torch.float64)
    found = {}
    for step in range(3):
        x = normal(2, 3, 3, 2) * (step + 1) + step
        module(torch.tensor(x))
        found[f"x{step}"] = x
        for name, buffer in module.named_buffers():
            found[f"{name}{step}"] = buffer.numpy().copy()
    x = normal(2, 3, 3, 2)
    return {**found, "x3": x, "out": module.eval()(torch.tensor(x)).detach().numpy()}


def main() -> None:
    found: dict[str, np.ndarray] = {}
    for name, (function, inputs, params) in CASES.items():
        tensors = {key: torch.tensor(value, requires_grad=True) for key, value in inputs.items()}
        out = apply(function, tensors, params)
        direction = torch.tensor(normal(*out.shape))
        gradients = torch.autograd.grad(out, list(tensors.values()), direction)
        found[f"{name}/out"] = out.detach().numpy()
        found[f"{name}/direction"] = direction.numpy()
        for (key, value), gradient in zip(inputs.items(), gradients, strict=True):
            found[f"{name}/in/{key}"] = value
            found[f"{name}/d/{key}"] = gradient.numpy()
    for name, momentum in (("tenth", 0.1), ("average", None)):
        found |= {f"history/{name}/{key}": value for key, value in batch_norm_history(momentum).items()}
    OUT.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(OUT / "spatial.npz", **found)
    cases = {name: {"function": function, "params": params} for name, (function, _, params) in CASES.items()}
    (OUT / "spatial.json").write_text(json.dumps(cases, indent=1) + "\n")


if __name__ == "__main__":
    main()
