"""The rungs of the ladder: a matrix product, GELU and a convolution, from loops in Python to all cores, compiled."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tinytorch.acceleration import accelerating, compiled, fuse, share, usable_cores
from tinytorch.autograd import no_grad
from tinytorch.spatial import Conv2d
from tinytorch.tensor import Array, Tensor, tanh

A, B = math.sqrt(2 / math.pi), 0.044715
CORES = usable_cores()


class Rung(NamedTuple):
    """One way to do the work: `flops` and `traffic` (bytes read and written at least) of what `run` does once."""

    work: str
    name: str
    flops: float
    traffic: float
    run: Callable[[], Any]
    wanted: Array


# Matrix product


def product_loops(x: list[list[float]], y: list[list[float]]) -> list[list[float]]:
    """As it is defined."""
    n = len(y)
    return [[sum(row[k] * y[k][j] for k in range(n)) for j in range(len(y[0]))] for row in x]


def product_rows(x: Array, y: Array) -> Array:
    """NumPy, a row of y at a time."""
    out = np.zeros((len(x), y.shape[1]), x.dtype)
    for k in range(len(y)):
        out += x[:, k : k + 1] * y[k]
    return out


@compiled
def product_compiled(start: int, stop: int, x: Array, y: Array, out: Array) -> None:
    """Three loops; the innermost goes along rows of y and out, so that it is vectorized."""
    for i in range(start, stop):
        out[i] = 0
        for k in range(y.shape[0]):
            a = x[i, k]
            for j in range(y.shape[1]):
                out[i, j] += a * y[k, j]


@compiled
def product_blocked(start: int, stop: int, x: Array, y: Array, out: Array) -> None:
    """The same for 4 rows at once and blocks of y that stay in the cache: a number that was loaded is used 4 times."""
    for row in range(start, stop):
        i = 4 * row
        out[i : i + 4] = 0
        for first in range(0, y.shape[0], 64):
            for low in range(0, y.shape[1], 256):
                high = min(low + 256, y.shape[1])
                o0, o1, o2, o3 = out[i, low:high], out[i + 1, low:high], out[i + 2, low:high], out[i + 3, low:high]
                for k in range(first, min(first + 64, y.shape[0])):
                    a0, a1, a2, a3 = x[i, k], x[i + 1, k], x[i + 2, k], x[i + 3, k]
                    line = y[k, low:high]
                    for j in range(high - low):
                        b = line[j]
                        o0[j] += a0 * b
                        o1[j] += a1 * b
                        o2[j] += a2 * b
                        o3[j] += a3 * b


def product_on_all_cores(x: Array, y: Array, out: Array) -> Array:
    """BLAS, with a part of the rows for each core."""
    cuts = [len(x) * part // CORES for part in range(CORES + 1)]
    share(lambda part: np.matmul(x[cuts[part] : cuts[part + 1]], y, out=out[cuts[part] : cuts[part + 1]]), CORES)
    return out


def products(quick: bool) -> list[Rung]:
    """The ladder of the matrix product."""
    few, n = 64, 256 if quick else 512
    generator = np.random.default_rng(0)
    x, y = (generator.standard_normal((n, n)).astype(np.float32) for _ in range(2))
    small = x[:few, :few].tolist(), y[:few, :few].tolist()
    out, wanted = np.empty_like(x), x.astype(np.float64) @ y
    little = x[:few, :few].astype(np.float64) @ y[:few, :few]

    def rung(name: str, run: Callable[[], Any], size: int = n, wanted: Array = wanted) -> Rung:
        return Rung("matrix product", name, 2.0 * size**3, 12.0 * size**2, run, wanted)

    def into(function: Callable[..., Any], *args: Any) -> Callable[[], Array]:
        def run() -> Array:
            function(*args, x, y, out)
            return out

        return run

    return [
        rung("Python loops", lambda: product_loops(*small), few, little),
        rung("NumPy, row by row", lambda: product_rows(x, y)),
        rung("compiled", into(product_compiled, 0, n)),
        rung("compiled, blocked", into(product_blocked, 0, n // 4)),
        rung("blocked, all cores", into(product_blocked.over, n // 4, 8)),
        rung("BLAS, one core", lambda: np.matmul(x, y, out=out)),
        rung("BLAS, all cores", lambda: product_on_all_cores(x, y, out)),
    ]


# GELU


def gelu_loops(x: list[float]) -> list[float]:
    """As it is defined."""
    return [0.5 * v * (1 + math.tanh(A * (v + B * v * v * v))) for v in x]


def gelu_numpy(x: Array) -> Array:
    """Nine operations, each a pass over memory."""
    out: Array = 0.5 * x * (1 + np.tanh(A * (x + B * x * x * x)))
    return out


def gelu_blocked(x: Array, out: Array, block: int = 8192) -> Array:
    """The same operations on blocks that stay in the cache, written in place."""
    for start in range(0, x.size, block):
        v, o = x[start : start + block], out[start : start + block]
        np.multiply(v, v, out=o)
        o *= B
        o += 1
        o *= v
        o *= A
        np.tanh(o, out=o)
        o += 1
        o *= v
        o *= 0.5
    return out


@compiled
def gelu_compiled(start: int, stop: int, x: Array, out: Array) -> None:
    """One loop; the C library's tanh is called for one number at a time."""
    half, one, a, b = np.float32(0.5), np.float32(1), np.float32(A), np.float32(B)
    for i in range(start, stop):
        v = x[i]
        out[i] = half * v * (one + math.tanh(a * (v + b * v * v * v)))


@fuse
def gelu_fused(x: Any) -> Any:
    """As it is defined."""
    return 0.5 * x * (1 + tanh(A * (x + B * x * x * x)))


def gelus(quick: bool) -> list[Rung]:
    """The ladder of GELU."""
    few, n = 20_000, 2**18 if quick else 2**23
    x = np.random.default_rng(0).standard_normal(n).astype(np.float32)
    out, tensor, wanted = np.empty_like(x), Tensor(x), gelu_numpy(x.astype(np.float64))
    small = x[:few].tolist()
    program = gelu_fused.trace(tensor).form.forward.kernels[0].compiled

    def rung(name: str, run: Callable[[], Any], bytes_each: float, size: int = n) -> Rung:
        return Rung("GELU", name, 9.0 * size, bytes_each * size, run, wanted[:size])

    def into(function: Callable[..., Any], *args: Any) -> Callable[[], Array]:
        def run() -> Array:
            function(*args, x, out)
            return out

        return run

    return [
        rung("Python loop", lambda: gelu_loops(small), 8, few),
        rung("NumPy as written", lambda: gelu_numpy(x), 80),  # 7 operations on one array and 2 on two, 4 bytes each
        rung("NumPy in blocks", lambda: gelu_blocked(x, out), 8),
        rung("compiled", into(gelu_compiled, 0, n), 8),
        rung("fused, one core", into(program, 0, 1, n), 8),
        rung("fused, all cores", lambda: gelu_fused(tensor).data, 8),
    ]


# Convolution


def convolution_loops(x: Array, w: Array) -> list[Any]:
    """As it is defined, on lists: (C, H, W), (O, C, K, K) -> (O, H-K+1, W-K+1)."""
    image, kernels, k = x.tolist(), w.tolist(), w.shape[-1]
    spots = [(c, p, q) for c in range(x.shape[0]) for p in range(k) for q in range(k)]
    return [
        [
            [sum(image[c][i + p][j + q] * kernel[c][p][q] for c, p, q in spots) for j in range(x.shape[2] - k + 1)]
            for i in range(x.shape[1] - k + 1)
        ]
        for kernel in kernels
    ]


def convolution_columns(x: Array, w: Array) -> Array:
    """im2col: every window becomes a column of a matrix, and the convolution a product of matrices."""
    windows = np.lib.stride_tricks.sliding_window_view(x, w.shape[2:], axis=(2, 3))  # (B, C, H', W', K, K)
    b, c, h, v = windows.shape[:4]
    columns = windows.transpose(0, 1, 4, 5, 2, 3).reshape(b, c * w[0, 0].size, h * v)  # (B, C K K, H' W')
    out: Array = (w.reshape(len(w), -1) @ columns).reshape(b, len(w), h, v)
    return out


def convolutions(quick: bool) -> list[Rung]:
    """The ladder of the convolution."""
    batch, c, o, k, size = 2 if quick else 16, 16, 32, 3, 34
    generator = np.random.default_rng(0)
    x, w = (generator.standard_normal(s).astype(np.float32) for s in ((batch, c, size, size), (o, c, k, k)))
    layer = Conv2d(c, o, k, bias=False)
    layer.weight.data = w.reshape(layer.weight.shape)
    tensor, wanted = Tensor(x), convolution_columns(x.astype(np.float64), w.astype(np.float64))
    each = 2.0 * o * c * k * k * (size - k + 1) ** 2  # FLOPs of an image
    bytes_each = 4.0 * (c * size**2 + o * (size - k + 1) ** 2)

    def as_it_is() -> Array:
        with no_grad():
            out: Array = layer(tensor).data
        return out

    def accelerated() -> Array:
        with accelerating():
            return as_it_is()

    def rung(name: str, run: Callable[[], Any], images: int = batch, traffic: float = bytes_each) -> Rung:
        return Rung("convolution", name, each * images, traffic * images, run, wanted[:images])

    columns = 8.0 * c * k * k * (size - k + 1) ** 2  # written and read again
    return [
        rung("Python loops", lambda: [convolution_loops(x[0], w)], 1),
        rung("im2col", lambda: convolution_columns(x, w), traffic=bytes_each + columns),
        rung("tinytorch.spatial", as_it_is),
        rung("with acceleration", accelerated),
    ]
