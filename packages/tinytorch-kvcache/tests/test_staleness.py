"""Keys and values are never used with other weights than those that they were computed with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from tinytorch.autograd import no_grad
from tinytorch.kvcache import (
    BlockPool,
    Cache,
    CacheError,
    GrowingCache,
    Int8Cache,
    KVCache,
    PagedCache,
    SlidingWindowCache,
    StaleCacheError,
    disable_kv_cache,
    enable_kv_cache,
)
from tinytorch.kvcache.staleness import WeightTracker, fingerprint
from tinytorch.tensor import Tensor
from tinytorch.transformer import GPT

from .models import make, tokens

SIZES: dict[str, Any] = {"num_layers": 3, "num_heads": 4, "head_dim": 4, "dtype": np.float64}
KINDS: dict[str, Callable[[], Cache]] = {
    "preallocated": lambda: KVCache(1, 32, **SIZES),
    "growing": lambda: GrowingCache(1, **SIZES),
    "paged": lambda: PagedCache(BlockPool(16, 4, **SIZES)),
    "window": lambda: SlidingWindowCache(1, window=32, **SIZES),
    "int8": lambda: Int8Cache(1, 32, **SIZES),
}


def multiplied(model: GPT) -> None:
    for parameter in model.parameters():
        parameter.data *= 1.5


def written(model: GPT) -> None:
    model.blocks[0].attention.k_proj.weight.data[...] = make(seed=8).blocks[0].attention.k_proj.weight.data


def written_by_numpy(model: GPT) -> None:
    weight = model.blocks[2].feed_forward.up.weight.data
    np.multiply(weight, -1, out=weight)


def replaced(model: GPT) -> None:
    model.blocks[0].attention.v_proj.weight = make(seed=9).blocks[0].attention.v_proj.weight


CHANGES = [multiplied, written, written_by_numpy, replaced]


def uncached(model: GPT, ids: Any, new: int = 1) -> Any:
    disable_kv_cache(model)
    return model.generate(ids, new, temperature=0).data


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("kind", ["preallocated", "paged"])
def test_a_generation_that_goes_on_exactly_after_a_change(kind: str, change: Callable[[GPT], None]) -> None:
    model = make()
    enable_kv_cache(model, KINDS[kind]())
    whole = model.generate([1, 2, 3, 4, 5], 6, temperature=0)
    change(model)
    found = model.generate(whole, 6, temperature=0).data
    assert_array_equal(found, uncached(model, whole, 6))


@pytest.mark.parametrize("change", CHANGES)
def test_a_stream_that_goes_on_exactly_after_a_change(change: Callable[[GPT], None]) -> None:
    model = make()
    enable_kv_cache(model)
    whole = [1, 2, 3, *model.stream([1, 2, 3], 6, temperature=0)]
    change(model)
    found = [*whole, *model.stream(whole, 6, temperature=0)]
    assert_array_equal(found, uncached(model, whole, 6))


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("by_hand", [False, True])
def test_a_forward_that_goes_on_after_a_change_is_refused(by_hand: bool, change: Callable[[GPT], None]) -> None:
    model, ids = make(), tokens(1, 5)
    cache = enable_kv_cache(model)
    with no_grad():
        if by_hand:
            for t in range(4):
                model(ids[:, t : t + 1])
        else:
            model.generate(ids[:, :4], 1, temperature=0)
        change(model)
        for _ in range(2):
            with pytest.raises(StaleCacheError, match=r"4 positions; call cache\.reset"):
                model(ids[:, 4:])
        assert cache.seq_pos == 4
        cache.reset()
        wanted = model(ids).data[:, -1]
        assert_allclose(model.next_logits(ids).data, wanted, rtol=0, atol=1e-10)


@pytest.mark.parametrize("change", CHANGES)
def test_logits_asked_for_step_by_step_after_a_change(change: Callable[[GPT], None]) -> None:
    model, ids = make(), tokens(1, 8)
    enable_kv_cache(model)
    with no_grad():
        for t in range(1, 8):
            model.next_logits(ids[:, :t])
        change(model)
        found = model.next_logits(ids).data
    disable_kv_cache(model)
    assert_allclose(found, model(ids).data[:, -1], rtol=0, atol=1e-10)


def test_one_number_written_through_numpy_is_noticed_by_the_next_generation() -> None:
    model = make()
    enable_kv_cache(model)
    whole = model.generate([1, 2, 3, 4], 6, temperature=0)
    weight = model.blocks[1].attention.q_proj.weight.data
    weight[0, 0] = -weight[0, 0] - 9
    assert_array_equal(model.generate(whole, 6, temperature=0).data, uncached(model, whole, 6))


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_cache_after_disabling_training_and_enabling(kind: str) -> None:
    model, ids = make(), tokens(1, 9)
    cache = enable_kv_cache(model, KINDS[kind]())
    with no_grad():
        model(ids[:, :8])
        disable_kv_cache(model)
        multiplied(model)
        enable_kv_cache(model, cache)
        with pytest.raises(StaleCacheError):
            model(ids[:, 8:])
        found = model.next_logits(ids).data
        enable_kv_cache(model, KINDS[kind]())
        assert_allclose(found, model.next_logits(ids).data, rtol=0, atol=1e-10)


def test_a_new_cache_on_the_pool_of_other_weights() -> None:
    model, ids, pool = make(), tokens(1, 9), BlockPool(16, 4, **SIZES)
    enable_kv_cache(model, PagedCache(pool))
    with no_grad():
        model.next_logits(ids)
        multiplied(model)
        cache = enable_kv_cache(model, PagedCache(pool))
        found = model.next_logits(ids).data
        disable_kv_cache(model)
        assert_allclose(found, model.next_logits(ids).data, rtol=0, atol=1e-10)
    assert cache.seq_pos == 9


def test_two_models_share_a_pool_and_are_kept_apart() -> None:
    models, ids, pool = [make(seed=1), make(seed=2)], tokens(1, 9), BlockPool(16, 4, **SIZES)
    wanted = [uncached(model, ids, 8) for model in models]
    for model in models:
        enable_kv_cache(model, PagedCache(pool))
    for _ in range(2):
        for model, row in zip(models, wanted, strict=True):
            assert_array_equal(model.generate(ids, 8, temperature=0).data, row)


@pytest.mark.parametrize("kind", KINDS)
def test_two_models_on_one_cache(kind: str) -> None:
    one, other, ids = make(seed=1), make(seed=2), tokens(1, 9)
    cache = KINDS[kind]()
    enable_kv_cache(other, KINDS[kind]())
    with no_grad():
        wanted = other.next_logits(ids).data
        enable_kv_cache(one, cache)
        enable_kv_cache(other, cache)
        one(ids[:, :8])
        with pytest.raises(StaleCacheError):
            other(ids[:, 8:])
        assert_allclose(other.next_logits(ids).data, wanted, rtol=0, atol=1e-10)
        with pytest.raises(StaleCacheError):
            one(ids[:, 8:])


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_of_another_models_cache(kind: str, tmp_path: Path) -> None:
    model, ids = make(), tokens(1, 9)
    cache = enable_kv_cache(model, KINDS[kind]())
    with no_grad():
        model(ids[:, :8])
        cache.save(tmp_path / "cache.safetensors")
        wanted = model.next_logits(ids).data
        same, other = make(), make(seed=1)
        enable_kv_cache(same, type(cache).load(tmp_path / "cache.safetensors"))
        assert_allclose(same(ids[:, 8:]).data[:, -1], wanted, rtol=0, atol=1e-10)
        enable_kv_cache(other, type(cache).load(tmp_path / "cache.safetensors"))
        with pytest.raises(StaleCacheError):
            other(ids[:, 8:])
    assert issubclass(StaleCacheError, CacheError)


def test_what_was_written_by_hand_is_taken_for_the_models_own() -> None:
    model, ids = make(), tokens(1, 9)
    filled = enable_kv_cache(model)
    with no_grad():
        model(ids[:, :8])
        cache = KVCache(1, 32, **SIZES)
        for layer in range(3):
            cache.update(layer, *filled.get(layer))
        cache.advance(8, ids[:, :8])
        wanted = model(ids[:, 8:]).data
        enable_kv_cache(model, cache)
        assert_array_equal(model(ids[:, 8:]).data, wanted)


def test_a_step_of_a_generation_does_not_read_all_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    look = fingerprint
    monkeypatch.setattr("tinytorch.kvcache.staleness.fingerprint", lambda weights: (looks.append(1), look(weights))[1])
    model = make()
    enable_kv_cache(model)
    model.generate([1, 2, 3], 12, temperature=0)
    assert len(looks) == 1
    list(model.stream([1, 2, 3], 12, temperature=0))
    assert len(looks) == 2
    with no_grad():
        for t in range(8):
            model([[t]])
    assert len(looks) == 3  # after a generation


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int8, bool])
@pytest.mark.parametrize("shape", [(), (1,), (3,), (7, 5), (2, 600), (1024,), (3, 512)])
def test_a_fingerprint_sees_every_number_every_sign_and_every_place(shape: tuple[int, ...], dtype: Any) -> None:
    rng = np.random.default_rng(0)
    array = np.array(10 * rng.normal(size=shape) + 20 * rng.integers(0, 2, shape), dtype)

    def of(x: Any) -> str:
        return fingerprint([Tensor(x, x.dtype)])

    before = of(array)
    assert before == of(array.copy()) == of(np.asfortranarray(array).reshape(shape, order="A"))
    for place in {0, array.size // 2, array.size - 1}:
        for bit in range(8 * array.itemsize if dtype is not bool else 1):
            changed = array.copy()
            changed.reshape(-1).view(np.uint8)[place * array.itemsize + bit // 8] ^= 1 << bit % 8
            assert of(changed) != before
    if dtype is not bool and np.any(array != 0):
        assert of(np.array(-array)) != before
    if array.ndim:
        turned = np.roll(array, 1, axis=0)
        assert (of(turned) != before) == (not np.array_equal(turned, array))
        two = array.copy()
        two[[0, -1]] = two[[-1, 0]]
        assert (of(two) != before) == (not np.array_equal(two, array))


def test_signs_that_change_places_are_seen() -> None:
    one, other = (Tensor(np.array(x), np.float64) for x in ([1.0, -1.0], [-1.0, 1.0]))
    assert fingerprint([one]) != fingerprint([other])
    flipped = Tensor(-np.ones((64, 64)), np.float64)
    assert fingerprint([flipped]) != fingerprint([Tensor(np.ones((64, 64)), np.float64)])


def test_a_fingerprint_sees_shapes_and_dtypes() -> None:
    zeros = [Tensor(np.zeros(shape, dtype), dtype) for shape in ((4,), (2, 2)) for dtype in (np.float32, np.int32)]
    assert len({fingerprint([x]) for x in zeros}) == 4


def test_the_fingerprint_of_known_weights() -> None:
    """It stands in files, so that it may change only together with their format."""
    assert fingerprint([Tensor([1.0, -2.0, 0.5])]) == "f54e522ed3d72f75e02a31f51c57bdd3"


def test_a_tracker_looks_again_for_a_weight_of_another_size_and_for_nan() -> None:
    model = make()
    tracker = WeightTracker(model)
    before = tracker.fingerprint()
    model.norm.weight.data = np.ones(3)  # type: ignore[union-attr]
    changed = tracker.fingerprint()
    assert changed != before
    model.norm.weight.data[:] = np.nan  # type: ignore[union-attr]
    assert tracker.fingerprint() not in (before, changed)
    model.norm.weight.data[2] = 7  # type: ignore[union-attr]
    assert tracker.fingerprint() == WeightTracker(model).fingerprint()


def write_one_number(model: GPT) -> None:
    """Through NumPy, where no sample looks."""
    weight = model.blocks[1].attention.k_proj.weight.data
    place = int(weight.argmin())
    weight.reshape(-1)[place] += 0.9 * (weight.max() - weight.min())


def test_one_number_is_noticed_at_the_start_of_a_generation_after_steps_by_hand() -> None:
    for stream in (False, True):
        model, ids = make(), tokens(1, 6)
        enable_kv_cache(model)
        with no_grad():
            for t in range(5):
                model(ids[:, t : t + 1])
        write_one_number(model)
        if stream:
            found = [*ids[0], *model.stream(ids[0], 6, temperature=0)]
        else:
            found = model.generate(ids[0], 6, temperature=0).data.tolist()
        assert_array_equal(found, uncached(model, ids[0], 6))


def test_one_number_is_noticed_by_a_step_after_a_generation() -> None:
    for stream in (False, True):
        model = make()
        enable_kv_cache(model)
        if stream:
            next(iter(model.stream([1, 2, 3], 6, temperature=0)))
        else:
            model.generate([1, 2, 3], 3, temperature=0)
        write_one_number(model)
        with no_grad(), pytest.raises(StaleCacheError):
            model([[4]])


def test_whole_weights_are_noticed_between_steps_by_hand_after_a_generation() -> None:
    model = make()
    enable_kv_cache(model)
    model.generate([1, 2, 3], 3, temperature=0)
    with no_grad():
        model([[4]])
        written_by_numpy(model)
        with pytest.raises(StaleCacheError):
            model([[5]])


def test_a_weight_that_is_replaced_is_noticed_between_steps() -> None:
    model, other = make(), make(seed=9)
    enable_kv_cache(model)
    with no_grad():
        model([[4]])
        model.blocks[0].attention.v_proj.weight = other.blocks[0].attention.v_proj.weight
        with pytest.raises(StaleCacheError):
            model([[5]])


@pytest.mark.parametrize("forward", [False, True])
def test_a_cache_that_begins_again_is_marked_with_the_weights_as_they_are(forward: bool) -> None:
    model, ids = make(), tokens(1, 9)
    cache = enable_kv_cache(model, KINDS["paged"]())
    with no_grad():
        model.next_logits(ids)
        cache.reset()
        write_one_number(model)
        found = model(ids).data[:, -1] if forward else model.next_logits(ids).data
    assert cache.fingerprint == WeightTracker(model).fingerprint()
    disable_kv_cache(model)
    assert_allclose(found, model.next_logits(ids).data, rtol=0, atol=1e-10)
