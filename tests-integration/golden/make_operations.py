"""PyTorch's operations, values and gradients in float64: packages/tinytorch-autograd/tests/golden/operations.npz.

For each operation its inputs, its value, and the gradients of sum(value * weights), the weights stored too. Inputs are
float32 numbers held as float64, so that both precisions start from the same.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

OUT = Path(__file__).resolve().parents[2] / "packages" / "tinytorch-autograd" / "tests" / "golden"

rng = np.random.default_rng(0)


def apart(*shape: int, low: float = -2.0, high: float = 2.0) -> np.ndarray:
    """Different numbers, none of them zero, in random order."""
    grid = np.linspace(low, high, int(np.prod(shape)) + 2)[1:-1] + 0.013
    return rng.permutation(grid).reshape(shape).astype(np.float32).astype(np.float64)


def positive(*shape: int) -> np.ndarray:
    return apart(*shape, low=0.3, high=2.5)


ROWS = torch.tensor([[0, -1], [1, 1]])
PLACES = torch.tensor([[0, 0, 2], [1, 0, 1]])
MASK = torch.tensor([True, False, True])

CASES: dict[str, tuple[Callable[..., torch.Tensor], list[np.ndarray]]] = {
    "add": (torch.add, [apart(2, 3), apart(3)]),
    "subtract": (torch.subtract, [apart(2, 1), apart(3)]),
    "multiply": (torch.multiply, [apart(2, 3), apart(2, 1)]),
    "divide": (torch.divide, [apart(2, 3), positive(3)]),
    "floor_divide": (lambda x, y: torch.floor(x / y).detach() + 0 * x + 0 * y, [positive(2, 3), positive(3)]),
    "remainder": (torch.remainder, [apart(2, 3), positive(3)]),
    "power": (torch.pow, [positive(2, 3), apart(3)]),
    "power of 2": (lambda x: x**2, [apart(5)]),
    "cube": (lambda x: x**3, [apart(5)]),
    "power of two": (lambda x: 2**x, [apart(5)]),
    "maximum": (torch.maximum, [apart(2, 3), apart(3) + 0.4]),
    "maximum of equals": (torch.maximum, [np.ones(3), np.ones(3)]),
    "minimum": (torch.minimum, [apart(2, 3), apart(3) + 0.4]),
    "where": (lambda x, y: torch.where(MASK, x, y), [apart(2, 3), apart(3)]),
    "clip": (lambda x: torch.clamp(x, -0.5, 0.7), [apart(9)]),
    "negative": (torch.negative, [apart(4)]),
    "abs": (torch.abs, [apart(4)]),
    "sign": (torch.sign, [apart(4)]),
    "floor": (torch.floor, [apart(4)]),
    "ceil": (torch.ceil, [apart(4)]),
    "round": (torch.round, [apart(4)]),
    "exp": (torch.exp, [apart(4)]),
    "log": (torch.log, [positive(4)]),
    "sqrt": (torch.sqrt, [positive(4)]),
    "tanh": (torch.tanh, [apart(4)]),
    "sin": (torch.sin, [apart(4)]),
    "cos": (torch.cos, [apart(4)]),
    "sum": (lambda x: x.sum(1), [apart(2, 3, 4)]),
    "sum of two axes": (lambda x: x.sum((0, 2), keepdim=True), [apart(2, 3, 4)]),
    "mean": (lambda x: x.mean((0, 2)), [apart(2, 3, 4)]),
    "var": (lambda x: x.var(1, correction=0), [apart(2, 3, 4)]),
    "var with correction": (lambda x: x.var((0, 1), correction=1), [apart(2, 3, 4)]),
    "std": (lambda x: x.std(1, correction=1), [apart(2, 3, 4)]),
    "max": (lambda x: x.amax(1), [apart(2, 3, 4)]),
    "max of equals": (lambda x: x.amax(0), [np.ones((3, 2))]),
    "min": (lambda x: x.amin((0, 1)), [apart(2, 3, 4)]),
    "prod": (lambda x: x.prod(1), [apart(2, 3)]),
    "prod with a zero": (lambda x: x.prod(0), [np.array([2.0, 0.0, 3.0])]),
    "cumsum": (lambda x: x.cumsum(1), [apart(2, 3)]),
    "sort": (lambda x: x.sort(1).values, [apart(2, 3)]),
    "topk": (lambda x: x.topk(2).values, [apart(2, 4)]),
    "reshape": (lambda x: x.reshape(3, -1), [apart(2, 3, 2)]),
    "permute": (lambda x: x.permute(2, 0, 1), [apart(2, 3, 4)]),
    "transpose": (lambda x: x.transpose(0, 2), [apart(2, 3, 4)]),
    "squeeze": (lambda x: x.unsqueeze(1).squeeze(1), [apart(2, 3)]),
    "flatten": (lambda x: x.flatten(1), [apart(2, 3, 2)]),
    "expand": (lambda x: x.expand(4, -1, 3), [apart(2, 1)]),
    "flip": (lambda x: x.flip(0, 1), [apart(2, 3)]),
    "pad": (lambda x: torch.nn.functional.pad(x, (0, 1, 2, 0), value=3.0), [apart(2, 3)]),
    "tril": (lambda x: x.tril(1), [apart(3, 4)]),
    "triu": (lambda x: x.triu(-1), [apart(2, 3, 3)]),
    "concat": (lambda x, y: torch.cat([x, y, x], 1), [apart(2, 3), apart(2, 1)]),
    "stack": (lambda x, y: torch.stack([x, y], 1), [apart(2, 3), apart(2, 3)]),
    "split": (lambda x: x.split([1, 3], 1)[1], [apart(2, 4)]),
    "slice": (lambda x: x[1:, None, ::2], [apart(3, 5)]),
    "rows": (lambda x: x[ROWS], [apart(3, 2)]),
    "elements": (lambda x: x[[0, 0, 2], [1, 1, 0]], [apart(3, 2)]),
    "mask": (lambda x: x[MASK], [apart(3, 2)]),
    "gather": (lambda x: x.gather(1, PLACES), [apart(2, 3)]),
    "scatter_add": (lambda x, s: x.scatter_add(1, PLACES, s), [apart(2, 3), apart(2, 3)]),
    "matmul": (torch.matmul, [apart(2, 3), apart(3, 4)]),
    "matmul of vectors": (torch.matmul, [apart(3), apart(3)]),
    "matmul of stacks": (torch.matmul, [apart(2, 1, 2, 3), apart(3, 3, 2)]),
    "matmul of a stack and a matrix": (torch.matmul, [apart(2, 2, 3), apart(3, 4)]),
    "einsum": (lambda x, y: torch.einsum("bij,bkj->bik", x, y), [apart(2, 2, 3), apart(2, 4, 3)]),
    "einsum of a diagonal": (lambda x: torch.einsum("ii->i", x), [apart(3, 3)]),
    "arctan2": (torch.atan2, [apart(2, 3), apart(3)]),
    "expm1": (torch.expm1, [apart(4)]),
    "log1p": (torch.log1p, [positive(4)]),
    "log2": (torch.log2, [positive(4)]),
    "log10": (torch.log10, [positive(4)]),
    "tan": (torch.tan, [apart(4, low=-1.4, high=1.4)]),
    "arcsin": (torch.arcsin, [apart(4, low=-0.9, high=0.9)]),
    "arccos": (torch.arccos, [apart(4, low=-0.9, high=0.9)]),
    "arctan": (torch.arctan, [apart(4)]),
    "sinh": (torch.sinh, [apart(4)]),
    "cosh": (torch.cosh, [apart(4)]),
    "square": (torch.square, [apart(4)]),
    "reciprocal": (torch.reciprocal, [apart(4)]),
    "round to decimals": (lambda x: torch.round(x, decimals=2), [apart(4)]),
    "reciprocal root": (lambda x: x**-0.5, [positive(5)]),
    "three halves": (lambda x: x**1.5, [positive(5)]),
    "fourth power": (lambda x: x**4, [apart(5)]),
    "logsumexp": (lambda x: x.logsumexp((0, 2)), [apart(2, 3, 4)]),
    "logsumexp of large numbers": (lambda x: x.logsumexp(1, keepdim=True), [apart(2, 3) * 512]),
    "norm": (lambda x: torch.linalg.vector_norm(x), [apart(2, 3)]),
    "norm of rows": (lambda x: torch.linalg.vector_norm(x, 2, -1, keepdim=True), [apart(2, 3, 4)]),
    "norm of zeros": (lambda x: torch.linalg.vector_norm(x, 2, 0), [np.zeros((3, 2))]),
    "norm by absolute values": (lambda x: torch.linalg.vector_norm(x, 1, (0, 1)), [apart(2, 3, 4)]),
    "norm by the largest": (lambda x: torch.linalg.vector_norm(x, float("inf"), 1), [apart(2, 3, 4)]),
    "norm by equals": (lambda x: torch.linalg.vector_norm(x, float("inf")), [np.array([2.0, -2.0, 1.0])]),
    "cumprod": (lambda x: x.cumprod(1), [apart(2, 7)]),
    "cumprod with zeros": (lambda x: x.cumprod(0), [np.array([2.0, 0.0, 3.0, 0.0, 4.0])]),
    "median": (lambda x: x.median(1).values, [apart(3, 5)]),
    "median of an even number": (lambda x: x.quantile(0.5, dim=0), [apart(4, 3)]),
    "masked_fill": (lambda x: x.masked_fill(MASK, 7.0), [apart(2, 3)]),
    "swapaxes": (lambda x: x.swapaxes(0, -1), [apart(2, 3, 2)]),
    "moveaxis": (lambda x: x.moveaxis((0, 1), (-1, 0)), [apart(2, 3, 2)]),
    "roll": (lambda x: x.roll(4), [apart(2, 3)]),
    "roll of two axes": (lambda x: x.roll((1, -2), (0, 1)), [apart(2, 3)]),
    "repeat": (lambda x: x.repeat_interleave(2, 1), [apart(2, 3)]),
    "repeat by number": (lambda x: x.repeat_interleave(torch.tensor([2, 0, 1]), 1), [apart(2, 3)]),
    "tile": (lambda x: x.tile(2, 1, 3), [apart(2, 3)]),
    "chunk": (lambda x: torch.cat(x.chunk(2, 1)[::-1], 1), [apart(2, 5)]),
    "unbind": (lambda x: x.unbind(1)[0] * x.unbind(1)[2], [apart(2, 3)]),
    "diagonal": (lambda x: x.diagonal(1, 0, 2), [apart(3, 2, 3)]),
    "diag": (lambda x: x.diag(-1), [apart(3)]),
    "trace": (torch.trace, [apart(3, 4)]),
    "outer": (torch.outer, [apart(3), apart(4)]),
    "take": (lambda x: x.take(ROWS % 6), [apart(2, 3)]),
    "take along an axis": (lambda x: x[:, ROWS], [apart(2, 3, 2)]),
}


def main() -> None:
    found: dict[str, Any] = {}
    for name, (function, arrays) in CASES.items():
        inputs = [torch.from_numpy(array.copy()).requires_grad_() for array in arrays]
        value = function(*inputs)
        weights = torch.from_numpy(
            np.asarray(rng.normal(size=tuple(value.shape)).astype(np.float32).astype(np.float64))
        )
        gradients = torch.autograd.grad((value * weights).sum(), inputs)
        found |= {f"{name}/input{i}": array for i, array in enumerate(arrays)}
        found |= {f"{name}/value": value.detach().numpy(), f"{name}/weights": weights.numpy()}
        found |= {f"{name}/gradient{i}": gradient.numpy() for i, gradient in enumerate(gradients)}
    OUT.mkdir(exist_ok=True)
    np.savez_compressed(OUT / "operations.npz", **found)


if __name__ == "__main__":
    main()
