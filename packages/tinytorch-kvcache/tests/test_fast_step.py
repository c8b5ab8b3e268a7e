"""The straight way of one token gives what the modules give, and steps aside when it cannot or should not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from tinytorch.autograd import no_grad
from tinytorch.kvcache import BlockPool, GrowingCache, PagedCache, SlidingWindowCache, enable_kv_cache
from tinytorch.kvcache.fast_step import observed
from tinytorch.layers import Dropout, Linear, Parameter, RMSNorm
from tinytorch.tensor import KERNEL, Tensor, handling
from tinytorch.transformer import GPT

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
