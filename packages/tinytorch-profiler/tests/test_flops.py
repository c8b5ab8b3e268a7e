"""FLOPs: PyTorch's counts, closed forms, and no operator that is forgotten without a word."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinytorch.tensor as tt
from tinytorch.autograd import defvjp, grad, rules
from tinytorch.layers import LayerNorm, Linear, ReLU, Sequential
from tinytorch.layers import functional as F
from tinytorch.profiler import Profiler, Shaped, flops, flops_of
from tinytorch.profiler.flops import arithmetic
from tinytorch.tensor import Tensor, primitive

GOLDEN = json.loads((Path(__file__).parent / "golden" / "flops.json").read_text())


def leaf(*shape: int, requires_grad: bool = True) -> Tensor:
    return tt.ones(*shape, requires_grad=requires_grad)


# Operators of stages that are not installed here, by the names and shapes that their formulas are registered for.


@primitive
def attention(q: Any, k: Any, v: Any, mask: Any = None, /, causal: bool = False) -> Any:
    return np.zeros((*q.shape[:-1], v.shape[-1]), np.float32)


@primitive
def conv2d(x: Any, weight: Any, bias: Any = None, /, stride: int = 1, padding: int = 0) -> Any:
    rows, columns = ((n + 2 * padding - k) // stride + 1 for n, k in zip(x.shape[2:], weight.shape[2:], strict=True))
    return np.zeros((x.shape[0], weight.shape[0], rows, columns), np.float32)


defvjp(attention, *(lambda g, out, *inputs, place=place, **params: np.zeros_like(inputs[place]) for place in range(4)))
defvjp(conv2d, *(lambda g, out, *inputs, place=place, **params: np.zeros_like(inputs[place]) for place in range(3)))


def block(B: int, T: int, D: int, H: int) -> Tensor:
    x = leaf(B, T, D)
    q, k, v, o = (Linear(D, D) for _ in range(4))
    norm1, norm2, up, down = LayerNorm(D), LayerNorm(D), Linear(D, 4 * D), Linear(4 * D, D)
    h = norm1(x)
    heads = [p(h).reshape(B, T, H, D // H).transpose(1, 2) for p in (q, k, v)]
    weights = F.softmax(heads[0] @ heads[1].mT / (D // H) ** 0.5, -1)
    x = x + o((weights @ heads[2]).transpose(1, 2).reshape(B, T, D))
    return x + down(F.gelu(up(norm2(x)), approximate="tanh"))


def mlp() -> Tensor:
    logits = Sequential(Linear(64, 128), ReLU(), Linear(128, 10))(leaf(32, 64, requires_grad=False))
    return F.cross_entropy(logits, tt.zeros(32, dtype=np.int64))


CASES: dict[str, Callable[[], Tensor]] = {
    "matmul": lambda: leaf(3, 4) @ leaf(4, 5),
    "matmul_of_stacks": lambda: leaf(2, 3, 4) @ leaf(2, 4, 5),
    "matmul_of_a_stack_and_a_matrix": lambda: leaf(2, 3, 4) @ leaf(4, 5),
    "matmul_broadcast": lambda: leaf(2, 1, 3, 4) @ leaf(5, 4, 6),
    "matmul_left_gradient": lambda: leaf(3, 4) @ leaf(4, 5, requires_grad=False),
    "matmul_right_gradient": lambda: leaf(3, 4, requires_grad=False) @ leaf(4, 5),
    "linear": lambda: F.linear(leaf(6, 3), leaf(3, 7), leaf(7)),
    "linear_of_a_sequence": lambda: F.linear(leaf(2, 6, 3), leaf(3, 7), leaf(7)),
    "linear_of_data": lambda: F.linear(leaf(6, 3, requires_grad=False), leaf(3, 7), leaf(7)),
    "einsum_of_matrices": lambda: tt.einsum("ij,jk->ik", leaf(3, 4), leaf(4, 5)),
    "einsum_of_scores": lambda: tt.einsum("bhqd,bhkd->bhqk", leaf(2, 3, 5, 4), leaf(2, 3, 6, 4)),
    "attention": lambda: attention(leaf(2, 3, 5, 4), leaf(2, 3, 6, 4), leaf(2, 3, 6, 7)),
    "conv2d": lambda: conv2d(leaf(2, 3, 8, 8), leaf(5, 3, 3, 3), leaf(5), padding=1),
    "conv2d_strided": lambda: conv2d(leaf(2, 3, 9, 8), leaf(5, 3, 3, 2), stride=2),
    "conv2d_of_data": lambda: conv2d(leaf(2, 3, 8, 8, requires_grad=False), leaf(5, 3, 3, 3), padding=1),
    "mlp": mlp,
    "transformer_block": lambda: block(2, 6, 8, 2),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_flops_are_those_of_pytorch(name: str) -> None:
    with Profiler() as prof:
        out = CASES[name]()
    with Profiler() as back:
        out.sum().backward()
    assert not prof.not_counted
    assert prof.flops == GOLDEN[name]["forward"]
    assert back.flops == GOLDEN[name]["backward"]


sizes = st.integers(1, 6)


@given(st.lists(sizes, max_size=2), sizes, sizes, sizes)
def test_matmul_is_two_n_k_m(batch: list[int], n: int, k: int, m: int) -> None:
    with Profiler() as prof:
        leaf(*batch, n, k) @ leaf(*batch, k, m)
    assert prof.flops == 2 * int(np.prod(batch)) * n * k * m
    assert prof.macs * 2 == prof.flops


def test_vectors_are_counted_too() -> None:
    with Profiler() as prof:
        leaf(4) @ leaf(4)
        leaf(3, 4) @ leaf(4)
    assert prof.flops == 2 * 4 + 2 * 3 * 4


def test_einsum_of_many_counts_the_pairs_that_numpy_takes() -> None:
    with Profiler() as prof:
        tt.einsum("ij,jk,kl->il", leaf(2, 9), leaf(9, 4), leaf(4, 3))
        tt.einsum("ij->j", leaf(2, 9))
    first, second = 2 * (2 * 9 * 4), 2 * (2 * 4 * 3)
    assert prof.flops == first + second


def test_elementwise_work_is_counted_apart() -> None:
    x = leaf(3, 4)
    with Profiler() as prof:
        (x * x + 1.0).exp().sum()
    assert prof.flops == 0
    assert prof.elementwise_flops == 12 * (1 + 1 + 1 + 1)


REDUCTIONS = {  # operations per element read, forward and backward
    "sum": (1, 0), "mean": (1, 1), "max": (1, 2), "min": (1, 2), "prod": (1, 3), "cumsum": (1, 1), "cumprod": (1, 4),
    "var": (4, 4), "std": (4, 4), "norm": (2, 2), "logsumexp": (4, 3), "softmax": (5, 4), "log_softmax": (5, 4),
}  # fmt: skip


@pytest.mark.parametrize("name", REDUCTIONS)
def test_a_reduction_is_counted_by_what_it_reads(name: str) -> None:
    operation = getattr(F, name, None) or getattr(tt, name)
    with Profiler() as prof:
        out = operation(leaf(3, 4), axis=1)
        out.backward(np.ones(out.shape, out.dtype))
    found = {event.label: event.work.elementwise for event in prof.events}
    forward, backward = REDUCTIONS[name]
    assert (found[name], found[f"{name} backward"]) == (12 * forward, 12 * backward)


FUSED = {  # operations per element read, forward and backward
    "relu": (1, 1), "leaky_relu": (1, 1), "sigmoid": (4, 3), "silu": (5, 9), "gelu": (8, 15), "erf": (1, 5),
    "layer_norm": (7, 12), "rms_norm": (4, 8),
}  # fmt: skip


FUNCTIONS = {
    "sign": (1, 0), "floor": (1, 0), "ceil": (1, 0), "round": (1, 0), "sinh": (1, 2), "cosh": (1, 2), "log10": (1, 2),
    "negative": (1, 1), "exp": (1, 1), "log": (1, 1), "abs": (1, 2), "sqrt": (1, 2), "sin": (1, 2), "square": (1, 2),
    "expm1": (1, 2), "log1p": (1, 2), "log2": (1, 2), "tanh": (1, 3), "cos": (1, 3), "tan": (1, 3), "arctan": (1, 3),
    "arcsin": (1, 5), "arccos": (1, 6),
}  # fmt: skip


@pytest.mark.parametrize("name", [*FUSED, *FUNCTIONS])
def test_a_function_of_one_tensor_is_counted_by_its_elements(name: str) -> None:
    x = Tensor(np.full((3, 4), 0.5), requires_grad=True)
    with Profiler() as prof:
        out = (getattr(F, name, None) or getattr(tt, name))(x)
        out.backward(np.ones(out.shape, out.dtype))
    found = {event.label: event.work.elementwise for event in prof.events}
    forward, backward = {**FUSED, **FUNCTIONS}[name]
    assert (found[name], found[f"{name} backward"]) == (12 * forward, 12 * backward)


FUNCTIONS_OF_TWO = {  # operations per element of the result: forward, and backward for each of the two
    "add": (1, 0, 0), "subtract": (1, 0, 1), "multiply": (1, 1, 1), "divide": (1, 1, 3), "power": (1, 3, 3),
    "maximum": (1, 1, 1), "minimum": (1, 1, 1), "arctan2": (1, 5, 6), "floor_divide": (1, 0, 0), "remainder": (1, 0, 3),
}  # fmt: skip


@pytest.mark.parametrize("needs", [(True, False), (False, True), (True, True)])
@pytest.mark.parametrize("name", FUNCTIONS_OF_TWO)
def test_a_function_of_two_tensors_is_counted_by_the_elements_of_its_result(
    name: str, needs: tuple[bool, bool]
) -> None:
    x, y = (
        Tensor(np.full((3, 4), value), requires_grad=needed) for value, needed in zip((0.5, 2.0), needs, strict=True)
    )
    with Profiler() as prof:
        out = getattr(tt, name)(x, y)
        if out.requires_grad:
            out.backward(np.ones(out.shape, out.dtype))
    found = {event.label: event.work.elementwise for event in prof.events}
    forward, *backward = FUNCTIONS_OF_TWO[name]
    assert found[name] == 12 * forward
    assert found.get(f"{name} backward", 0) == 12 * sum(n for n, needed in zip(backward, needs, strict=True) if needed)


def test_moving_comparing_and_converting_are_no_work() -> None:
    x = leaf(3, 4)
    with Profiler() as prof:
        (x.T.reshape(2, 6) > 0).astype(np.float32)[0]
    assert prof.elementwise_flops == prof.flops == 0
    assert not prof.not_counted


def formulas_of(stage: str) -> list[tt.Primitive]:
    return [each for name, each in tt.registry.items() if name.startswith(f"tinytorch.{stage}.")]


@pytest.mark.parametrize("primitive", [*formulas_of("tensor"), *formulas_of("layers")], ids=lambda p: p.name)
def test_every_primitive_of_the_stages_below_has_a_formula(primitive: tt.Primitive) -> None:
    tables = (flops._products, flops._elementwise)
    known = [rule for table in tables for rule in (table.get(primitive), table.get(primitive.name)) if rule]
    assert known
    if primitive in rules and not rules[primitive].reason:
        assert all(backward is not None for _, backward in known)


def test_an_operator_without_a_formula_is_named_forward_and_backward() -> None:
    @primitive
    def mystery(x: Any, /) -> Any:
        return x + 1

    defvjp(mystery, lambda g, out, x: g)
    with Profiler() as prof:
        mystery(mystery(leaf(2))).sum().backward()
    assert prof.not_counted == {"mystery": 2, "mystery backward": 2}
    assert "not counted: mystery, mystery backward" in prof.table()

    flops_of(mystery, backward=lambda needs, out, x: 10 * sum(needs))(lambda out, x: out.size)
    with Profiler() as prof:
        mystery(leaf(2)).sum().backward()
    assert not prof.not_counted
    assert prof.flops == 2 + 10


def test_a_formula_registered_by_name_waits_for_its_primitive() -> None:
    seen: list[Any] = []

    @flops_of("later_stage_operator")
    def _(out: Shaped, x: Shaped, table: Any, /, **params: Any) -> int:
        seen.append((out, x, table, params))
        return 7

    class Cache:
        def __init__(self) -> None:
            self.seq_pos, self.kind, self._secret, self.rows = 5, "int8", 1, np.zeros(3)

    @primitive
    def later_stage_operator(x: Any, table: Any = None, /, **params: Any) -> Any:
        return x * 2

    with Profiler() as prof:
        later_stage_operator(tt.ones(2, 3), index=np.arange(4), axes=(0, 1), cache=Cache())
    assert prof.flops == 7
    out, x, table, params = seen[0]
    assert (out.shape, x.dtype, table) == ((2, 3), np.float32, None)
    assert params["index"] == Shaped((4,), np.dtype(np.int64))
    assert params["axes"] == (0, 1)
    assert vars(params["cache"]) == {"seq_pos": 5, "kind": "int8"}


@pytest.mark.parametrize(("limits", "keys"), [({}, 10), ({"window": 4, "sinks": 2}, 6), ({"window": 40}, 10)])
def test_attention_over_a_cache_counts_the_keys_that_the_cache_holds(limits: dict[str, int], keys: int) -> None:
    class Cache:
        def __init__(self) -> None:
            self.seq_pos = 9
            vars(self).update(limits)

    @primitive
    def cached_attention(q: Any, k: Any, v: Any, mask: Any = None, /, *, cache: Any, layer: int) -> Any:
        return q

    new = tt.ones(2, 4, 1, 8)
    with Profiler() as prof:
        cached_attention(new, new, new, cache=Cache(), layer=0)
    assert prof.flops == 2 * 2 * 4 * keys * (8 + 8)


def test_second_derivatives_are_counted_where_they_run_and_once() -> None:
    x, w = leaf(3, 4), leaf(4, 5)
    y = (F.linear(x, w) ** 2).sum()
    with Profiler() as prof:
        grad(y, x, create_graph=True)
    rule = next(event for event in prof.events if event.label == "linear backward")
    assert rule.nested
    assert rule.work.products == 0
    assert prof.flops == 2 * (2 * 3 * 4 * 5)  # the composition runs forward again, and its matmul passes back


@given(st.integers(1, 5), st.integers(1, 5), st.booleans(), st.booleans())
def test_linear_backward_counts_needed_gradients_only(n: int, m: int, data: bool, weights: bool) -> None:
    out, x, weight = (Shaped(shape, np.dtype(np.float32)) for shape in ((2, m), (2, n), (n, m)))
    found = arithmetic(F.linear, out, (x, weight, None), {}, (data, weights, False))
    assert found is not None
    assert found.products == (data + weights) * 4 * n * m


def test_intensity_and_bytes_of_a_product() -> None:
    with Profiler() as prof:
        leaf(8, 16) @ leaf(16, 4)
    (row,) = prof.rows()
    assert (row.read, row.written) == (4 * (8 * 16 + 16 * 4), 4 * 8 * 4)
    assert row.intensity == pytest.approx(2 * 8 * 16 * 4 / (row.read + row.written))


def test_looking_up_reads_what_it_gives_and_a_view_moves_nothing() -> None:
    table = leaf(1000, 8)
    with Profiler() as prof:
        F.embedding(table, Tensor([1, 2, 3]))
        table.reshape(8, 1000).permute(1, 0)
    embedding, reshape, permute = prof.rows()
    assert (embedding.read, embedding.written) == (3 * 8 * 4 + 3 * 8, 3 * 8 * 4)
    assert reshape.read == reshape.written == permute.read == 0
