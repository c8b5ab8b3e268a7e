"""What every cache promises, and what each kind promises besides."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from tinytorch.kvcache import (
    UNKNOWN,
    BlockPool,
    Cache,
    CacheFullError,
    GrowingCache,
    Int8Cache,
    KVCache,
    PagedCache,
    SlidingWindowCache,
)
from tinytorch.layers import load_metadata, load_tensors, save_tensors
from tinytorch.tensor import FileFormatError, Tensor

from .kinds import BOUNDED, EVERY, LENGTH, SINKS, WINDOW, Maker, entries, fill, paged, preallocated, window

every = pytest.mark.parametrize("make", EVERY)
bounded = pytest.mark.parametrize("make", BOUNDED)


@every
def test_update_writes_without_advancing(make: Maker) -> None:
    cache = make(2)
    cache.update(0, *entries(2, 3))
    assert cache.seq_pos == 0
    assert cache.get(0)[0].shape == (2, 3, 0, 4)
    cache.advance(3)
    assert cache.seq_pos == 3
    assert cache.get(0)[0].shape == cache.get(0)[1].shape == (2, 3, 3, 4)


@every
def test_a_step_written_again_replaces_what_was_written(make: Maker) -> None:
    cache, once = make(2), make(2)
    fill(cache, 2)
    fill(once, 2)
    for layer in (0, 1):
        cache.update(layer, *entries(2, 4, seed=7))  # a step that failed before advance
    given, same = fill(cache, 3, seed=9), fill(once, 3, seed=9)
    assert_array_equal(given[0][0], same[0][0])
    for layer in (0, 1):
        assert_array_equal(cache.get(layer)[0].data, once.get(layer)[0].data)
        assert_array_equal(cache.get(layer)[1].data, once.get(layer)[1].data)


@every
def test_view_shows_the_new_entries_before_they_are_advanced_over(make: Maker) -> None:
    cache = make(1)
    fill(cache, 2)
    cache.update(1, *entries(1, 1))
    before = cache.view(1, 1)
    assert before[0].shape == (1, 3, 3, 4)
    cache.update(0, *entries(1, 1))
    cache.advance()
    assert_array_equal(cache.get(1)[0].data, before[0])


@bounded
def test_beyond_max_seq_len_nothing_is_written(make: Maker) -> None:
    cache = make(1)
    fill(cache, LENGTH - 1)
    before = [x.data.copy() for layer in (0, 1) for x in cache.get(layer)]
    with pytest.raises(ValueError, match=rf"position {LENGTH + 1} is beyond max_seq_len={LENGTH}, nothing was written"):
        cache.update(0, *entries(1, 2))
    assert cache.seq_pos == LENGTH - 1
    for x, y in zip(before, [x.data for layer in (0, 1) for x in cache.get(layer)], strict=True):
        assert_array_equal(x, y)
    fill(cache, 1)
    assert cache.seq_pos == LENGTH


@every
@pytest.mark.parametrize(
    ("error", "words", "act"),
    [
        (IndexError, "layer 2", lambda cache: cache.update(2, *entries(2, 1))),
        (IndexError, "layer -1", lambda cache: cache.get(-1)),
        (ValueError, "do not fit", lambda cache: cache.update(0, *entries(3, 1))),
        (ValueError, "t of at least 1", lambda cache: cache.update(0, *entries(2, 0))),
        (ValueError, "do not fit", lambda cache: cache.update(0, np.ones(3), np.ones(3))),
        (ValueError, "do not fit", lambda cache: cache.update(0, entries(2, 1)[0], entries(2, 2)[0])),
        (TypeError, "the cache holds float64", lambda cache: cache.update(0, *entries(2, 1, dtype=np.longdouble))),
        (TypeError, "the cache holds float64", lambda cache: cache.update(0, *entries(2, 1, dtype=np.int32))),
        (ValueError, "but 0 were written", lambda cache: cache.advance()),
        (ValueError, "truncate: to 4", lambda cache: cache.truncate(4)),
        (ValueError, "truncate: to -1", lambda cache: cache.truncate(-1)),
        (IndexError, "not sequences", lambda cache: cache.reorder([0, 2])),
        (IndexError, "not sequences", lambda cache: cache.reorder([])),
        (IndexError, "not sequences", lambda cache: cache.reorder([0.0])),  # type: ignore[list-item]
        (ValueError, "batch_size is 0", lambda cache: cache.reset(batch_size=0)),
    ],
)
def test_bad_input_is_named_and_changes_nothing(make: Maker, error: type[Exception], words: str, act: Any) -> None:
    cache = make(2)
    fill(cache, 3)
    before = [x.data.copy() for x in cache.get(0)]
    with pytest.raises(error, match=words) as caught:
        act(cache)
    assert len(str(caught.value).splitlines()) <= 2
    if "batch_size" not in words:  # reset has begun by forgetting
        assert_array_equal(cache.get(0)[0].data, before[0])
        assert cache.seq_pos == 3


@every
def test_a_layer_that_missed_a_step_is_named(make: Maker) -> None:
    cache = make(1)
    cache.update(0, *entries(1, 2))
    cache.advance(2)
    with pytest.raises(ValueError, match="layer 1 holds 0 of 2 positions"):
        cache.get(1)
    with pytest.raises(ValueError, match="layer 1 holds 0 of 2 positions, it missed a step"):
        cache.update(1, *entries(1, 1))
    cache.reset()
    fill(cache, 1)
    assert cache.get(1)[0].shape == (1, 3, 1, 4)


@pytest.mark.parametrize("sizes", [{"batch_size": 0}, {"num_layers": 1.5}, {"head_dim": -1}, {"max_seq_len": 0}])
def test_sizes_are_checked(sizes: dict[str, Any]) -> None:
    name, size = next(iter(sizes.items()))
    with pytest.raises((ValueError, TypeError), match=f"KVCache: {name} is {size}"):
        KVCache(**{"batch_size": 1, "max_seq_len": 4, "num_layers": 1, "num_heads": 1, "head_dim": 2, **sizes})
    with pytest.raises(TypeError, match="int64 is not floating-point"):
        KVCache(1, 4, 1, 1, 2, dtype=np.int64)
    with pytest.raises(ValueError, match="window is 0"):
        SlidingWindowCache(1, 1, 1, 2, window=0)
    with pytest.raises(ValueError, match="sinks is -1"):
        SlidingWindowCache(1, 1, 1, 2, window=1, sinks=-1)


@pytest.mark.parametrize("kind", [KVCache, GrowingCache])
def test_get_returns_views(kind: type[Cache]) -> None:
    cache = kind(batch_size=1, num_layers=1, num_heads=2, head_dim=4, max_seq_len=8)
    cache.update(0, Tensor(np.ones((1, 2, 3, 4))), Tensor(np.ones((1, 2, 3, 4))))
    cache.advance(3)
    for tensor, buffer in zip(cache.get(0), cache.buffers(), strict=True):
        assert np.shares_memory(tensor.data, buffer)


@every
def test_memory_usage_is_what_was_allocated(make: Maker) -> None:
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        cache = make(8)
        if isinstance(cache, GrowingCache):
            fill(cache, 20)
        allocated = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    usage = cache.get_memory_usage()
    assert 0 <= allocated - cache.nbytes < 24_000  # the objects around the arrays, and the arrays of the test
    assert usage["total_mb"] == cache.nbytes / 1e6
    assert usage["per_layer_mb"] == cache.nbytes / 2 / 1e6
    assert usage["total_elements"] == sum(buffer.size for buffer in cache.buffers())
    assert usage["cache_tensors"] == len(cache.buffers())


def test_gpt2_takes_75_megabytes_a_sequence() -> None:
    usage = KVCache(1, 1024, 12, 12, 64).get_memory_usage()
    assert usage == {
        "total_mb": 75.497472,
        "per_layer_mb": 75.497472 / 12,
        "cache_tensors": 24,
        "total_elements": 2 * 12 * 12 * 1024 * 64,
    }


@every
def test_a_copy_goes_its_own_way(make: Maker) -> None:
    cache = make(2)
    fill(cache, 3)
    twin = cache.copy()
    before = [x.data.copy() for x in cache.get(0)]
    fill(twin, 2, seed=5)
    assert twin.seq_pos == 5
    assert cache.seq_pos == 3
    assert_array_equal(cache.get(0)[0].data, before[0])
    fill(cache, 2, seed=8)
    assert not np.array_equal(cache.get(0)[0].data[:, :, 3:], twin.get(0)[0].data[:, :, 3:])


@every
def test_reset_can_change_the_batch(make: Maker) -> None:
    cache = make(2)
    fill(cache, 3)
    cache.reset(batch_size=4)
    assert (cache.batch_size, cache.seq_pos) == (4, 0)
    fill(cache, 2)
    assert cache.get(1)[0].shape == (4, 3, 2, 4)


@every
def test_tokens_are_remembered(make: Maker) -> None:
    cache = make(2)
    fill(cache, 2, tokens=[[1, 2], [3, 4]])
    fill(cache, 1)
    assert cache.tokens.tolist() == [[1, 2, UNKNOWN], [3, 4, UNKNOWN]]
    cache.reorder([1, 1, 0])
    assert cache.tokens.tolist() == [[3, 4, UNKNOWN], [3, 4, UNKNOWN], [1, 2, UNKNOWN]]
    with pytest.raises(ValueError, match=r"tokens of shape \(2,\)"):
        cache.advance(0, [1, 2])


@every
def test_resume_keeps_the_common_beginning(make: Maker) -> None:
    cache = make(2)
    fill(cache, 4, tokens=[[1, 2, 3, 4], [5, 6, 7, 8]])
    keys = cache.get(0)[0].data.copy()
    assert cache.copy().resume(np.array([[1, 2, 3, 4, 9], [5, 6, 7, 8, 9]])) == 4
    assert cache.copy().resume(np.array([[1, 2, 3], [5, 6, 7]])) == 3
    assert cache.copy().resume(np.array([[2, 2, 3, 4], [5, 6, 7, 8]])) == 0
    assert cache.resume(np.array([[1, 2, 3, 4], [5, 6, 0, 8]])) == 2
    assert_array_equal(cache.get(0)[0].data, keys[:, :, :2])


@every
@pytest.mark.parametrize("n", [0, 1, 7, 20])
def test_saved_and_loaded_is_the_same(make: Maker, n: int, tmp_path: Path) -> None:
    cache = make(2, np.float32)
    if n:
        fill(cache, n, tokens=np.arange(2 * n).reshape(2, n))
        fill(cache, 1)
    cache.save(tmp_path / "cache.safetensors")
    again = type(cache).load(tmp_path / "cache.safetensors")
    assert type(again) is type(cache)
    assert all(getattr(again, name) == getattr(cache, name) for name in cache.layout)
    assert_array_equal(again.tokens, cache.tokens)
    for step in (1, 2):
        for layer in (0, 1):
            assert_array_equal(again.positions(), cache.positions())
            for x, y in zip(cache.get(layer), again.get(layer), strict=True):
                assert_array_equal(x.data, y.data)
        fill(cache, 1, seed=step)
        fill(again, 1, seed=step)
    assert [path.name for path in tmp_path.iterdir()] == ["cache.safetensors"]


@every
def test_a_damaged_or_foreign_file_is_refused(make: Maker, tmp_path: Path) -> None:
    cache, path = make(2), tmp_path / "cache.safetensors"
    fill(cache, 3)
    cache.save(path)
    whole = path.read_bytes()
    other = GrowingCache if isinstance(cache, KVCache) else KVCache
    with pytest.raises(ValueError, match=f"holds {type(cache).__name__}, not {other.__name__}"):
        other.load(path)
    for damaged in (
        whole[: len(whole) // 2],
        b"",
        b"\xff" * 100,
        whole.replace(b'batch_size\\": 2', b'batch_size\\": 3'),
    ):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"cache.safetensors .*(is not a complete|is truncated)"):
            type(cache).load(path)
    with pytest.raises(FileNotFoundError):
        type(cache).load(tmp_path / "none")


def test_saving_fails_without_harming_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache, path = preallocated(1), tmp_path / "cache.safetensors"
    fill(cache, 3)
    cache.save(path)
    before = path.read_bytes()

    def full(handle: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="no space left"):
        cache.save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


# Growing


def test_growing_takes_at_most_twice_what_it_holds() -> None:
    cache = GrowingCache(1, 2, 3, 4, dtype=np.float32)
    for n in range(1, 100):
        fill(cache, 1)
        held = 2 * 2 * 3 * 4 * 4 * n
        assert held <= cache.nbytes <= 2 * held


# Sliding window


def test_the_window_keeps_sinks_and_the_last_positions() -> None:
    cache = window(1)
    keys: list[Any] = []
    for step, n in enumerate((3, 1, 1, 1, 9, 1, 1, 2, 1, 1, 1)):
        cache.update(0, *(given := entries(1, n, seed=step)))
        cache.update(1, *given)
        keys.append(given[0])
        every_key, end = np.concatenate(keys, axis=2), cache.seq_pos + n
        positions, visible = cache.positions(n), cache.visible(n)
        assert_array_equal(cache.view(0, n)[0], every_key[:, :, positions])
        for i, query in enumerate(range(end - n, end)):
            wanted = {p for p in range(query + 1) if p < SINKS or p > query - WINDOW}
            seen = positions[positions <= query] if visible is None else positions[visible[i]]
            assert set(seen.tolist()) == wanted
        cache.advance(n)
    assert cache.nbytes == window(1).nbytes  # of a long prompt nothing stays


def test_the_window_goes_back_only_as_far_as_it_can() -> None:
    cache = window(1)
    fill(cache, 20, tokens=[range(20)])
    assert 0 < cache.rewindable <= 19
    cache.truncate(19)
    with pytest.raises(ValueError, match="where from 19 to 19 are possible"):
        cache.truncate(18)
    assert cache.resume(np.arange(10)[None]) == 0


# int8


@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1.0, 1e4])
def test_int8_is_off_by_at_most_a_254th_of_the_largest(scale: float) -> None:
    cache = Int8Cache(2, 16, 1, 3, 4)
    keys, values = (x * np.float32(scale) for x in entries(2, 16, dtype=np.float32))
    keys[0, 0, 3] = 0
    cache.update(0, keys, values)
    cache.advance(16)
    for exact, kept in zip((keys, values), cache.get(0), strict=True):
        bound = np.abs(exact).max(axis=-1, keepdims=True) / 254
        assert (np.abs(exact - kept.data) <= bound * (1 + 1e-5)).all()
        assert not np.array_equal(exact, kept.data)
    assert_array_equal(cache.get(0)[0].data[0, 0, 3], 0)


def test_int8_refuses_what_has_no_scale() -> None:
    keys, values = entries(1, 1)
    keys[0, 0, 0, 0] = np.inf
    with pytest.raises(ValueError, match="infinity or NaN"):
        Int8Cache(1, 4, 1, 3, 4, np.float64).update(0, keys, values)


# Paged


def pool(num_blocks: int = 16) -> BlockPool:
    return BlockPool(num_blocks, 4, 2, 3, 4, np.float64)


def test_a_copy_shares_blocks_until_it_writes() -> None:
    blocks = pool()
    cache = PagedCache(blocks)
    fill(cache, 10)
    twin = cache.copy()
    assert blocks.free == 13
    fill(twin, 1)
    assert blocks.free == 12  # only the half-full block was copied
    fill(cache, 1)
    assert blocks.free == 12  # alone in its block, the other writes in place
    fill(cache, 2)
    assert blocks.free == 11
    del twin
    assert blocks.free == 12
    cache.reset()
    assert blocks.free == 16
    assert blocks.uses == [0] * 16


def test_beams_share_what_they_have_in_common() -> None:
    blocks = pool()
    cache = PagedCache(blocks)
    fill(cache, 8)
    cache.reorder([0, 0, 0])
    assert blocks.free == 14
    fill(cache, 1)
    assert blocks.free == 11
    cache.reorder([1, 1])
    assert blocks.free == 13


def test_equal_beginnings_are_found_in_the_pool() -> None:
    blocks = pool()
    first, second = PagedCache(blocks), PagedCache(blocks)
    given = fill(first, 10, tokens=[range(10)])
    assert second.resume(np.arange(12)[None]) == 8
    assert second.tokens.tolist() == [list(range(8))]
    for layer in (0, 1):
        assert_array_equal(second.get(layer)[0].data, given[layer][0][:, :, :8])
    assert blocks.free == 13
    assert second.resume(np.array([[0, 1, 2, 3, 4, 5, 6, 99]])) == 7
    fill(second, 1)  # into the middle of a shared block
    assert_array_equal(first.get(0)[0].data, given[0][0])


def test_blocks_are_found_after_their_user_left_and_never_after_they_changed() -> None:
    blocks = pool(4)
    cache = PagedCache(blocks)
    fill(cache, 8, tokens=[range(8)])
    cache.reset()
    assert cache.resume(np.arange(8)[None]) == 8
    cache.truncate(5)
    fill(cache, 3, seed=3, tokens=[[50, 51, 52]])  # the second block now holds something else
    cache.reset()
    assert cache.resume(np.arange(8)[None]) == 4
    cache.reset()
    fill(cache, 16, seed=4)  # all blocks are needed, the old content is gone
    cache.reset()
    assert cache.resume(np.arange(8)[None]) == 0


def test_blocks_are_found_for_the_weights_that_filled_them_only() -> None:
    cache = PagedCache(pool())
    cache.fingerprint = "one"
    fill(cache, 8, tokens=[range(8)])
    cache.reset()
    cache.fingerprint = "other"
    assert cache.resume(np.arange(8)[None]) == 0
    cache.fingerprint = "one"
    assert cache.resume(np.arange(8)[None]) == 8


@pytest.mark.parametrize("dtype", [np.int32, np.uint8, np.int64])
def test_equal_beginnings_are_found_whatever_integers_they_are_given_as(dtype: Any) -> None:
    blocks = pool()
    first, second = PagedCache(blocks), PagedCache(blocks)
    fill(first, 8, tokens=np.arange(8, dtype=dtype)[None])
    for other in (np.int16, np.uint64, list):
        second.reset()
        assert second.resume([list(range(8))] if other is list else np.arange(8, dtype=other)[None]) == 8
    assert blocks.find(np.arange(4, dtype=dtype)) is not None


def test_of_two_equal_blocks_the_one_that_was_named_first_is_found() -> None:
    blocks, tokens = pool(), np.arange(4)
    first, second = blocks.take(), blocks.take()
    for block in (first, second):
        blocks.name(block, tokens)
    assert blocks.find(tokens) == first
    blocks.unname(second)
    assert blocks.find(tokens) == first
    blocks.unname(first)
    assert blocks.find(tokens) is None


def test_unknown_tokens_are_never_shared() -> None:
    cache = PagedCache(pool())
    fill(cache, 8)
    cache.reset()
    assert cache.resume(np.full((1, 8), UNKNOWN)) == 0


def test_an_exhausted_pool_says_so_and_keeps_everything() -> None:
    blocks = pool(3)
    cache, other = PagedCache(blocks), PagedCache(blocks)
    given = fill(cache, 8)
    with pytest.raises(ValueError, match="all 3 blocks are in use"):
        other.update(0, *entries(1, 9))
    assert blocks.free == 1
    assert_array_equal(cache.get(0)[0].data, given[0][0])
    fill(other, 4)


def test_a_paged_cache_reads_what_it_wrote_across_blocks() -> None:
    cache = paged(2)
    parts = [fill(cache, n, seed=n) for n in (1, 3, 6, 2, 9)]
    for layer in (0, 1):
        for kind in (0, 1):
            whole = np.concatenate([part[layer][kind] for part in parts], axis=2)
            assert_array_equal(cache.get(layer)[kind].data, whole)


@every
def test_a_file_with_more_than_the_cache_is_refused(make: Maker, tmp_path: Path) -> None:
    cache, path = make(1), tmp_path / "cache.safetensors"
    fill(cache, 3)
    cache.save(path)
    save_tensors({**load_tensors(path), "9.keys": np.ones(3)}, path, load_metadata(path))
    with pytest.raises(FileFormatError, match=r"nothing takes 9\.keys"):
        type(cache).load(path)


@every
def test_what_is_fetched_has_the_dtype_of_what_was_written(make: Maker) -> None:
    for x in make(1).update_and_fetch(0, *entries(1, 2, dtype=np.float32)):
        assert x.dtype == np.float32


def test_reserved_memory_is_where_update_writes() -> None:
    for reserving in (KVCache(2, 6, 2, 3, 4), GrowingCache(2, 2, 3, 4)):
        updating, rng = reserving.copy(), np.random.default_rng(0)
        for _ in range(6):
            storages = reserving.reserve(1)
            assert storages is not None
            for layer, storage in enumerate(storages):
                key, value = rng.random((2, 2, 3, 1, 4), np.float32)
                storage.keys[..., reserving.seq_pos], storage.values[:, :, reserving.seq_pos] = (
                    key[:, :, 0],
                    value[:, :, 0],
                )
                updating.update(layer, key, value)
            reserving.advance()
            updating.advance()
        for layer in range(2):
            for held, wanted in zip(reserving.view(layer), updating.view(layer), strict=True):
                assert_array_equal(held, wanted)


def test_reserving_refuses_what_updating_does() -> None:
    full = KVCache(1, 1, 2, 1, 1)
    assert full.reserve(1) is not None
    full.advance()
    with pytest.raises(CacheFullError, match="position 2 is beyond max_seq_len=1"):
        full.reserve(1)
    assert Int8Cache(1, 4, 1, 1, 1).reserve(1) is None
    assert SlidingWindowCache(1, 1, 1, 1, window=4).reserve(1) is None
