"""Rules that promise new arrays, as every fused one does, return memory that nothing else holds."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # stages.py belongs to no package
import stages

from tinytorch.attention import attention
from tinytorch.autograd import Node, Step, defvjp, observe_backward, rules
from tinytorch.layers import functional as F
from tinytorch.quantization import Scheme, quantized_linear
from tinytorch.spatial import adaptive_avg_pool2d, avg_pool2d, batch_norm, conv2d, max_pool2d
from tinytorch.tensor import Tensor, primitive

Case = tuple[Callable[..., Any], list[tuple[int, ...]]]  # a function, and the shapes of its inputs
CASES: dict[str, list[Case]] = {
    "multiply": [(lambda x, y: x * y, [(2, 3), (2, 3)]), (lambda x, y: x * y, [(1,), (1,)]), (lambda x: x * 1, [(2,)])],
    "matmul": [
        (lambda x, y: x @ y, shapes)
        for shapes in ([(2, 3), (3, 2)], [(3,), (3, 1)], [(1, 1), (1,)], [(2, 1, 3), (3, 1)], [(1,), (1,)])
    ],
    "getitem": [
        (lambda x, index=i: x[index], [(3, 2)]) for i in (slice(1), ..., 1, [0, 0], np.array([[True, False]] * 3))
    ],
    "linear": [
        (F.linear, shapes)
        for shapes in ([(2, 3), (3, 4), (4,)], [(3,), (3, 1)], [(1, 1), (1, 1), (1,)], [(2, 2, 3), (3, 4), (4,)])
    ],
    "gelu": [
        (F.gelu, [(3,)]),
        (lambda x: F.gelu(x, approximate="none"), [(3,)]),
        (F.gelu, [(100_000,)]),
    ],
    "sigmoid": [(F.sigmoid, [(3,)]), (F.sigmoid, [(1,)])],
    "silu": [(F.silu, [(3,)]), (F.silu, [(1,)])],
    "softmax": [(F.softmax, [(2, 3)]), (lambda x: F.softmax(x, axis=0), [(2, 3)]), (F.softmax, [(2, 1)])],
    "log_softmax": [
        (F.log_softmax, [(2, 3)]),
        (lambda x: F.log_softmax(x, axis=0), [(2, 3)]),
        (F.log_softmax, [(2, 1)]),
    ],
    "layer_norm": [
        (F.layer_norm, [(2, 3), (3,), (3,)]),
        (F.layer_norm, [(2, 3)]),
        (F.layer_norm, [(3,), (3,), (3,)]),
        (F.layer_norm, [(1, 1), (1,), (1,)]),
        (lambda w, b: F.layer_norm(np.ones((1, 3)), w, b), [(3,), (3,)]),
    ],
    "rms_norm": [(F.rms_norm, [(2, 3), (3,)]), (F.rms_norm, [(3,)]), (F.rms_norm, [(1, 1), (1,)])],
    "embedding": [(lambda w: F.embedding(w, np.arange(4)), [(4, 2)]), (lambda w: F.embedding(w, [[0, 0]]), [(1, 2)])],
    "softmax_cross_entropy": [
        (lambda x: F.cross_entropy(x, [0, 2]), [(2, 3)]),
        (lambda x: F.cross_entropy(x, [0, 2], label_smoothing=0.1, reduction="none"), [(2, 3)]),
        (lambda x: F.cross_entropy(x, [0], weight=[1.0], reduction="sum"), [(1, 1)]),
    ],
    "conv2d": [
        (conv2d, [(1, 2, 4, 4), (3, 2, 2, 2), (3,)]),
        (conv2d, [(1, 1, 2, 2), (1, 1, 1, 1), (1,)]),
        (lambda x, w: conv2d(x, w, stride=2, padding=1, groups=2), [(2, 2, 4, 4), (2, 1, 3, 3)]),
    ],
    "avg_pool2d": [(lambda x, k=k: avg_pool2d(x, k), [(1, 1, 4, 4)]) for k in (2, 1, 4)],
    "adaptive_avg_pool2d": [(lambda x, n=n: adaptive_avg_pool2d(x, n), [(1, 1, 4, 4)]) for n in (2, 4, 1, None)],
    "max_pool2d": [(lambda x, k=k: max_pool2d(x, k), [(1, 1, 4, 4)]) for k in (2, 1, 4)],
    "batch_norm": [
        (lambda x, w, b: batch_norm(x, w, b, training=True), [(4, 2, 3, 3), (2,), (2,)]),
        (lambda x, w, b: batch_norm(x, w, b, Tensor([0.0]), Tensor([1.0])), [(1, 1, 1, 1), (1,), (1,)]),
        (lambda x: batch_norm(x, None, None, Tensor([0.0]), Tensor([1.0]), eps=0.0), [(1, 1, 1, 1)]),
    ],
    "quantized_linear": [
        (lambda x, b, c=c: quantized_linear(x, *c, b), [(*n, 4), (3,)])
        for c in (Scheme(8).quantize(np.ones((3, 4))), Scheme(4, 2, False).quantize(np.ones((3, 4))))
        for n in ((), (1,), (2, 3))
    ],
    "attention": [
        (lambda q, k, v: attention(q, k, v, causal=True), [(1, 2, 3, 4), (1, 1, 3, 4), (1, 1, 3, 4)]),
        (attention, [(1, 1, 1, 1)] * 3),
        (lambda q, k, v: attention(q, k, v, np.zeros((3, 3), np.float16)), [(1, 1, 3, 4)] * 3),
    ],
}


def arrays_in(value: Any) -> Iterator[np.ndarray[Any, Any]]:
    """Every array in a value that a forward saved, or that was given to it."""
    if isinstance(value, np.ndarray | Tensor):
        yield np.asarray(value)
    elif isinstance(value, tuple | list):
        for each in value:
            yield from arrays_in(each)
    elif hasattr(value, "__dict__"):
        yield from arrays_in(list(vars(value).values()))
    elif hasattr(type(value), "__slots__"):
        yield from arrays_in([getattr(value, name) for name in type(value).__slots__])


class Owners:
    """An observer that fails where a rule that promises new arrays returns others."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self.before: list[np.ndarray[Any, Any]] = []  # what rules returned earlier, which they must not keep

    def __call__(self, next: Step, node: Node, gradient: Any, needs: Sequence[bool]) -> Sequence[Any]:
        if not node.rule.new:
            return next(node, gradient, needs)
        found: list[np.ndarray[Any, Any]] = []
        for _ in range(2):  # twice: what a rule keeps comes back the second time
            gradients = next(node, gradient, needs)
            foreign = [
                *arrays_in([gradient, node.args, node.out, node.saved, list(node.params.values())]),
                *self.before,
            ]
            for each in gradients:
                if each is not None:
                    assert not any(np.shares_memory(each, other) for other in (*foreign, *found)), node.primitive.name
                    found.append(each)
        self.before += found
        self.seen.add(node.primitive.name)
        return gradients


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("name", CASES)
def test_what_a_rule_returns_as_new_shares_memory_with_nothing(name: str, dtype: str) -> None:
    rng = np.random.default_rng(0)
    for function, shapes in CASES[name]:
        inputs = [Tensor(rng.normal(size=shape), dtype, requires_grad=True) for shape in shapes]
        for needed in ([True] * len(inputs), *np.eye(len(inputs), dtype=bool).tolist()):
            for each, need in zip(inputs, needed, strict=True):
                each.requires_grad = need
            owners, out = Owners(), function(*inputs)
            with observe_backward(owners), np.errstate(all="ignore"):
                out.backward(np.ones(out.shape))
            assert name in owners.seen


def test_every_rule_that_promises_new_arrays_is_tried() -> None:
    for stage in stages.order():
        importlib.import_module(f"tinytorch.{stage}")
    promised = {each.name for each, rule in rules.items() if rule.new and each.__module__.startswith("tinytorch.")}
    assert promised == CASES.keys()


KEPT = np.ones(2, np.float32)
GUILTY: list[Callable[..., Any]] = [
    lambda g, out, saved, needs, x, y: (g, g * 2),
    lambda g, out, saved, needs, x, y: (x, g * 2),
    lambda g, out, saved, needs, x, y: (saved, g * 2),
    lambda g, out, saved, needs, x, y: (out[:], g * 2),
    lambda g, out, saved, needs, x, y: (h := g * 2, h),
    lambda g, out, saved, needs, x, y: (KEPT, g * 2),
]


@pytest.mark.parametrize("rule", GUILTY)
def test_a_rule_that_breaks_the_promise_is_found(rule: Callable[..., Any]) -> None:
    @primitive(fused=True)
    def guilty(x: Any, y: Any, /) -> tuple[Any, Any]:
        return x + y, x * 1

    defvjp(guilty, fused=rule, composition=lambda x, y: x + y)
    with observe_backward(Owners()), pytest.raises(AssertionError, match="guilty"):
        guilty(*[Tensor([1.0, 2.0], requires_grad=True) for _ in range(2)]).sum().backward()
