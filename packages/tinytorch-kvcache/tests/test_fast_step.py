"""The step of a single token as one function gives what the modules give, and leaves to them what only they can do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from tinytorch.attention import MultiHeadAttention
from tinytorch.autograd import no_grad
from tinytorch.kvcache import BlockPool, GrowingCache, PagedCache, SlidingWindowCache, disable_kv_cache, enable_kv_cache
from tinytorch.kvcache.fast_step import observed
from tinytorch.layers import Dropout, LayerNorm, Linear, Parameter, RMSNorm, lower
from tinytorch.layers import functional as F
from tinytorch.tensor import KERNEL, Kernels, Tensor, handling, primitive
from tinytorch.transformer import GPT, FeedForward, PositionalEncoding, TransformerBlock

from .models import FAMILIES, Spy, make, tokens

STRAIGHT = [family for family in FAMILIES if family != "original"]  # sines are added by the modules


def logits_by_next(model: GPT, ids: Any) -> Any:
    """Logits of every position but the first, asked for as generation does."""
    with no_grad():
        return np.stack([model.next_logits(ids[:, : t + 1]).data for t in range(1, ids.shape[1])], axis=1)


def is_fast(model: GPT) -> bool:
    model._kv_session._fingerprint()
    return model._kv_session._fast_step is not None and not observed()


@pytest.mark.parametrize("family", STRAIGHT)
@pytest.mark.parametrize("batch_size", [1, 3])
def test_every_family_goes_straight_and_exactly(family: str, batch_size: int) -> None:
    model, ids = make(family), tokens(batch_size, 20)
    with no_grad():
        wanted = model(ids).data[:, 1:]
    cache = enable_kv_cache(model)
    assert_allclose(logits_by_next(model, ids), wanted, rtol=0, atol=1e-10)
    assert is_fast(model)
    with Spy(model):
        cache.reset()
        assert_allclose(logits_by_next(model, ids), wanted, rtol=0, atol=1e-10)


@pytest.mark.parametrize("family", STRAIGHT)
def test_left_padding_goes_straight(family: str) -> None:
    model, ids, mask = make(family), tokens(3, 20), np.arange(20) >= 3 * np.arange(3)[:, None]
    with no_grad():
        wanted = model(ids, mask).data[:, 1:]
    enable_kv_cache(model)
    with no_grad():
        found = np.stack([model.next_logits(ids[:, :t], mask[:, :t]).data for t in range(2, 21)], axis=1)
    assert_allclose(found, wanted, rtol=0, atol=1e-10)
    assert is_fast(model)


@pytest.mark.parametrize("activation", ["gelu", "gelu_exact", "relu", "silu", "swiglu"])
@pytest.mark.parametrize("norm", ["layer", "rms"])
@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("tied", [True, False])
def test_every_part_goes_straight(activation: str, norm: str, norm_first: bool, tied: bool) -> None:
    model = make(activation=activation, norm=norm, norm_first=norm_first, tied=tied, bias=tied, num_layers=2)
    ids = tokens(2, 8)
    with no_grad():
        wanted = model(ids).data[:, 1:]
    enable_kv_cache(model)
    assert_allclose(logits_by_next(model, ids), wanted, rtol=0, atol=1e-10)
    assert is_fast(model)


@pytest.mark.parametrize(
    "make_cache",
    [
        lambda: GrowingCache(2, 3, 4, 4, dtype=np.float64),
        lambda: PagedCache(BlockPool(40, 4, 3, 4, 4, np.float64), 2),
        lambda: SlidingWindowCache(2, 3, 4, 4, window=6, sinks=1, dtype=np.float64),
    ],
)
def test_every_cache_is_served(make_cache: Any) -> None:
    model, ids = make("llama"), tokens(2, 20)
    enable_kv_cache(model, make_cache())
    with Spy(model):
        wanted = logits_by_next(model, ids)
    enable_kv_cache(model, make_cache())
    assert_allclose(logits_by_next(model, ids), wanted, rtol=0, atol=1e-10)
    assert is_fast(model)


def test_tokens_are_computed_once() -> None:
    model = make()
    cache = enable_kv_cache(model)
    advanced: list[int] = []
    advance = cache.advance
    cache.advance = lambda n=1, tokens=None: (advanced.append(n), advance(n, tokens))[1]  # type: ignore[method-assign]
    model.generate([1, 2, 3, 4], 6, temperature=0)
    assert advanced == [4, 1, 1, 1, 1, 1]


class Watching:
    level = KERNEL
    seen = 0

    def __call__(self, next: Any, primitive: Any, args: Any, params: Any) -> Any:
        self.seen += 1
        return next(primitive, args, params)


def test_handlers_see_the_modules_run() -> None:
    model, ids = make(), tokens(1, 6)
    enable_kv_cache(model)
    logits_by_next(model, ids)
    assert is_fast(model)
    watching = Watching()
    with handling(watching), no_grad():
        assert not is_fast(model)
        model.next_logits(ids)
    assert watching.seen > 30
    assert is_fast(model)


def test_kernels_leave_the_step_straight_and_are_part_of_it() -> None:
    model, ids = make(), tokens(1, 6)
    enable_kv_cache(model)
    plain = logits_by_next(model, ids)
    asked = []
    with handling(Kernels({F.layer_norm: lambda *_, **__: asked.append(1) or NotImplemented})):
        assert is_fast(model)
        assert_allclose(logits_by_next(model, ids), plain, rtol=1e-10)
    assert len(asked) > 5
    seen = len(asked)
    assert_allclose(logits_by_next(model, ids), plain, rtol=1e-10)
    assert len(asked) == seen and is_fast(model)


def subclassed(model: GPT) -> None:
    class Mine(Linear):
        def forward(self, x: Any) -> Tensor:
            return super().forward(x) * 2

    model.blocks[0].feed_forward.up.__class__ = Mine  # type: ignore[assignment]
    model.blocks[0].feed_forward.up.in_features = 16  # what was set is counted, how a class is changed is not


def shadowed(model: GPT) -> None:
    before = model.blocks[1].forward
    model.blocks[1].forward = lambda *args, **kwargs: before(*args, **kwargs) * 2


def doubled(model: GPT) -> None:
    model.norm.register_forward_hook(lambda module, args, kwargs, output: output * 2)  # type: ignore[union-attr]


@pytest.mark.parametrize("change", [subclassed, shadowed, doubled])
def test_what_is_not_known_runs_itself(change: Any) -> None:
    model, ids = make(), tokens(1, 10)
    enable_kv_cache(model)
    logits_by_next(model, ids[:, :5])
    assert is_fast(model)
    change(model)
    assert not is_fast(model)
    model._kv_cache.reset()
    found = logits_by_next(model, ids)
    other = make()
    change(other)
    with no_grad():
        assert_allclose(found, other(ids).data[:, 1:], rtol=0, atol=1e-10)


@pytest.mark.parametrize("part", ["norm", "bias", "weight"])
def test_a_change_in_the_middle_counts_at_once(part: str) -> None:
    model, ids = make(norm="rms"), tokens(1, 8)
    enable_kv_cache(model)
    logits_by_next(model, ids)
    if part == "norm":
        model.norm = RMSNorm(16, eps=2.0, dtype=np.float64).eval()
    elif part == "bias":
        model.blocks[2].feed_forward.down.bias = Parameter(np.full(16, 3.0), np.float64)
    else:
        model.blocks[2].feed_forward.down.weight.data[:] *= 2
        model.blocks[2].feed_forward.training = False
    longer = np.concatenate((ids, [[4]]), axis=1)
    with no_grad():
        found = model.next_logits(longer).data
        with Spy(model):
            model._kv_cache.reset()
            wanted = model.next_logits(longer).data
    assert_allclose(found, wanted, rtol=0, atol=1e-10)


def test_dropout_that_is_active_is_never_passed_over() -> None:
    model = make(dropout=0.5)
    enable_kv_cache(model)
    logits_by_next(model, tokens(1, 4))
    assert is_fast(model)
    model.blocks[0].train()
    assert not is_fast(model)
    model.eval()
    model.blocks[0].feed_forward.down = Dropout(0.5)  # type: ignore[assignment]
    assert not is_fast(model)


@pytest.mark.parametrize(("bad", "error"), [(-1, IndexError), (17, IndexError)])
def test_errors_are_those_of_the_model(bad: int, error: type[Exception]) -> None:
    model = make()
    cache = enable_kv_cache(model)
    with no_grad():
        model.next_logits([[1, 2]])
        assert is_fast(model)
        with pytest.raises(error, match=f"index {bad}"):
            model.next_logits([[1, 2, bad]])
    assert cache.seq_pos == 2
    model = make(max_seq_len=3)
    enable_kv_cache(model)
    with no_grad():
        logits_by_next(model, tokens(1, 3))
        with pytest.raises(ValueError, match="positions up to 2 are learned"):
            model.next_logits(tokens(1, 4))


def test_a_subclass_runs_what_it_defines() -> None:
    class Same(GPT):
        pass

    class Doubled(GPT):
        def next_logits(self, tokens: Any, mask: Any = None) -> Tensor:
            return super().next_logits(tokens, mask) * 2

    class Halved(GPT):
        def logits(self, hidden: Tensor) -> Tensor:
            return super().logits(hidden) / 2

    for cls, fast in ((Same, True), (Doubled, False), (Halved, False)):
        model, ids = make(num_layers=1), tokens(1, 6)
        model.__class__ = cls
        with no_grad():
            wanted = [model.next_logits(ids[:, :t]).data for t in range(2, 7)]
        enable_kv_cache(model)
        assert is_fast(model) == fast
        assert_allclose(np.stack(wanted, axis=1), logits_by_next(model, ids), rtol=0, atol=1e-10)


def test_generated_float32_tokens_are_the_same_both_ways() -> None:
    model = make("llama", np.float32)
    enable_kv_cache(model)
    found = model.generate([1, 2, 3], 20, temperature=0)
    with Spy(model):
        model._kv_cache.reset()
        assert_array_equal(model.generate([1, 2, 3], 20, temperature=0).data, found.data)


# What is replaced is used


def twice(before: Any) -> Any:
    def after(*args: Any, **kwargs: Any) -> Any:
        out = before(*args, **kwargs)
        return (out[0] * 2, *out[1:]) if isinstance(out, tuple) else out * 2

    return after


ON_INSTANCES = [
    ("", "forward"), ("", "hidden"), ("", "logits"), ("", "next_logits"), ("", "positional.forward"),
    ("blocks.0", "forward"), ("blocks.0", "norm1.forward"), ("blocks.0.attention", "forward"),
    ("blocks.0.attention", "project"), ("blocks.0.attention", "attend"), ("blocks.0.attention", "merge"),
    ("blocks.0.attention", "core"), ("blocks.0.feed_forward", "forward"), ("blocks.0.feed_forward", "up.forward"),
]  # fmt: skip
ON_CLASSES = [
    (GPT, "forward"), (GPT, "hidden"), (GPT, "logits"), (GPT, "next_logits"), (TransformerBlock, "forward"),
    (MultiHeadAttention, "project"), (MultiHeadAttention, "attend"), (MultiHeadAttention, "merge"),
    (FeedForward, "forward"), (LayerNorm, "forward"), (Linear, "forward"), (PositionalEncoding, "forward"),
]  # fmt: skip


def all_next(model: GPT, ids: Any) -> Any:
    with no_grad():
        return [model.next_logits(ids[:, : t + 1]).data for t in range(ids.shape[1])]


@pytest.mark.parametrize(("where", "name"), ON_INSTANCES)
@pytest.mark.parametrize("when", ["before", "while enabled"])
def test_what_is_replaced_on_an_instance_is_used(where: str, name: str, when: str) -> None:
    model, ids = make(num_layers=2), tokens(1, 8)
    path, _, name = (f"{where}.{name}" if where else name).rpartition(".")
    owner = model.get_submodule(path)
    plain = all_next(model, ids)
    if when == "while enabled":
        enable_kv_cache(model)
        assert_allclose(all_next(model, ids), plain, rtol=0, atol=1e-10)
        model._kv_cache.reset()
        if name == "core":  # which is then set for good: the cached one around it is gone
            return
    setattr(owner, name, twice(getattr(owner, name)))
    if when == "before":
        wanted = all_next(model, ids)
        enable_kv_cache(model)
    found = all_next(model, ids)
    if when == "while enabled":
        disable_kv_cache(model)
        if not path and name in ("forward", "next_logits"):  # the replacement holds the cached method, now idle
            assert name in model.__dict__
        wanted = all_next(model, ids)
    assert_allclose(found, wanted, rtol=0, atol=1e-10)
    assert np.abs(np.array(wanted) - np.array(plain)).max() > 1e-3


@pytest.mark.parametrize(("cls", "name"), ON_CLASSES)
def test_what_is_patched_on_a_class_is_used(cls: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, ids = make(num_layers=2), tokens(1, 8)
    enable_kv_cache(model)
    plain = all_next(model, ids)
    model._kv_cache.reset()
    monkeypatch.setattr(cls, name, twice(getattr(cls, name)))
    found = all_next(model, ids)
    disable_kv_cache(model)
    assert_allclose(found, all_next(model, ids), rtol=0, atol=1e-10)
    assert np.abs(np.array(found) - np.array(plain)).max() > 1e-3
    monkeypatch.undo()
    enable_kv_cache(model)
    assert_allclose(all_next(model, ids), plain, rtol=0, atol=1e-10)
    assert is_fast(model)


def test_a_primitive_as_core_is_lowered_with_the_cache() -> None:
    model, ids = make("grouped"), tokens(2, 9)
    for block in model.blocks:
        block.attention.core = uniform
    with no_grad():
        wanted = model(ids).data[:, 1:]
    enable_kv_cache(model)
    assert_allclose(logits_by_next(model, ids), wanted, rtol=0, atol=1e-10)
    assert is_fast(model)


@primitive
def uniform(q: Any, k: Any, v: Any, mask: Any = None, /, causal: bool = False) -> Any:
    """Attention with equal weights for all keys up to the query."""
    T, S = q.shape[2], k.shape[2]
    seen = np.tri(T, S, S - T)
    return np.repeat(seen / seen.sum(axis=1, keepdims=True) @ v, q.shape[1] // v.shape[1], axis=1)


def test_a_lowered_model_outside_of_a_step_leaves_the_cache_alone() -> None:
    model, ids = make(), tokens(1, 5)
    with no_grad():
        wanted = model.blocks[0](Tensor(np.ones((1, 3, 16)), np.float64)).data
    cache = enable_kv_cache(model)
    assert lower(model) is None  # its forward continues the cache
    function = lower(model.blocks[0])
    assert function is not None
    assert_array_equal(function(np.ones((1, 3, 16))), wanted)
    with no_grad():
        model.next_logits(ids)
    assert_array_equal(function(np.ones((1, 3, 16))), wanted)
    assert cache.seq_pos == 5
