"""A cache is switched on and off without a trace, and is never in the way of training."""

from __future__ import annotations

import copy
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from tinytorch.attention import attention
from tinytorch.autograd import enable_grad, no_grad
from tinytorch.kvcache import (
    BlockPool,
    CacheError,
    GrowingCache,
    KVCache,
    PagedCache,
    StaleCacheError,
    beam_search,
    disable_kv_cache,
    enable_kv_cache,
)
from tinytorch.layers import functional as F
from tinytorch.tensor import OBSERVE, Tensor, handling
from tinytorch.transformer import GPT

from .models import Spy, make, tokens


def everything(model: GPT) -> dict[str, dict[str, Any]]:
    """The attributes of every module, by name, in their order."""
    return {name: dict(module.__dict__) for name, module in model.named_modules()}


def test_one_forward_beyond_the_models_length_makes_room_for_all_its_tokens() -> None:
    model, ids = make("llama"), tokens(1, 40)
    with no_grad():
        wanted = model(ids).data
        cache = enable_kv_cache(model)
        assert isinstance(cache, KVCache) and cache.max_seq_len < 40
        found = model(ids).data
    assert_allclose(found, wanted, rtol=0, atol=1e-10)
    assert cache.seq_pos == 40 <= cache.max_seq_len


def test_disabled_leaves_no_trace() -> None:
    model = make()
    before, classes = everything(model), {cls: dict(vars(cls)) for cls in map(type, model.modules())}
    enable_kv_cache(model)
    assert model._cache_enabled
    assert isinstance(model._kv_cache, KVCache)
    model.generate([1, 2], 3)
    assert {cls: dict(vars(cls)) for cls in map(type, model.modules())} == classes
    disable_kv_cache(model)
    assert model.__dict__.pop("_cache_enabled") is False  # all that stays
    after = everything(model)
    assert list(after) == list(before)
    for name, attributes in before.items():
        assert list(after[name]) == list(attributes)
        assert all(after[name][key] is value for key, value in attributes.items())
    disable_kv_cache(model)


def test_what_was_set_on_the_instance_comes_back() -> None:
    model = make()
    mine = model.forward
    model.forward = lambda *args, **kwargs: mine(*args, **kwargs)  # type: ignore[method-assign]
    before = dict(model.__dict__)
    enable_kv_cache(model)
    model.generate([1, 2], 3)
    disable_kv_cache(model)
    assert list(model.__dict__.items()) == [*before.items(), ("_cache_enabled", False)]


def test_enabling_again_changes_nothing() -> None:
    model = make()
    cache = enable_kv_cache(model)
    before = dict(model.__dict__)
    with no_grad():
        model(tokens(1, 3))
    assert enable_kv_cache(model) is cache
    assert enable_kv_cache(model, cache) is cache
    assert cache.seq_pos == 3
    assert dict(model.__dict__) == before
    disable_kv_cache(model)
    assert "_kv_cache" not in model.__dict__


def test_another_cache_takes_over() -> None:
    model = make()
    first = enable_kv_cache(model)
    given = KVCache(1, 16, 3, 4, 4, np.float64)
    assert enable_kv_cache(model, given) is given is model._kv_cache
    with no_grad():
        model(tokens(1, 3))
    assert (first.seq_pos, given.seq_pos) == (0, 3)
    larger = enable_kv_cache(model, batch_size=2)
    assert larger is not given
    assert larger.batch_size == 2
    disable_kv_cache(model)
    assert "forward" not in model.__dict__


def test_a_cache_that_does_not_fit_is_refused_and_nothing_changes() -> None:
    model = make("grouped")
    cache = enable_kv_cache(model)
    before = dict(model.__dict__)
    with pytest.raises(ValueError, match="the cache has num_heads=4, the model 2"):
        enable_kv_cache(model, KVCache(1, 16, 3, 4, 4, np.float64))
    with pytest.raises(ValueError, match="dtype=float32, the model float64"):
        enable_kv_cache(model, KVCache(1, 16, 3, 2, 4, np.float32))
    assert dict(model.__dict__) == before
    assert model._kv_cache is cache


def test_models_that_no_cache_can_serve_are_named() -> None:
    encoder = make()
    encoder.blocks[1].attention.causal = False
    with pytest.raises(TypeError, match=r"attends to later tokens in blocks\.1\.attention"):
        enable_kv_cache(encoder)
    shared = make()
    shared.blocks[1] = shared.blocks[0]
    with pytest.raises(TypeError, match="one attention in several places"):
        enable_kv_cache(shared)
    with pytest.raises(TypeError, match="Embedding has no attention"):
        enable_kv_cache(make().token_embedding)


def test_two_models_do_not_meet() -> None:
    one, other, ids = make(seed=1), make(seed=2), tokens(1, 12)
    with no_grad():
        wanted = one(ids).data, other(ids).data
    enable_kv_cache(one)
    enable_kv_cache(other)
    with no_grad():
        for t in range(12):
            for model, logits in zip((one, other), wanted, strict=True):
                assert np.abs(model(ids[:, t : t + 1]).data[:, 0] - logits[:, t]).max() < 1e-10
    disable_kv_cache(one)
    assert other._kv_cache.seq_pos == 12


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_models_that_share_blocks_are_disabled_in_any_order(order: tuple[int, int]) -> None:
    models, ids = [make(), make()], tokens(1, 12)
    models[1].blocks[1] = models[0].blocks[2]
    cores = [module.core for model in models for module in model.modules() if hasattr(module, "core")]
    with no_grad():
        wanted = [model(ids).data for model in models]
        for model in models:
            enable_kv_cache(model)
        for i in order:
            for t in range(12):  # both are enabled, or the second alone
                for j in (i, order[1]):
                    if models[j]._kv_cache.seq_pos == t:
                        assert np.abs(models[j](ids[:, t : t + 1]).data[:, 0] - wanted[j][:, t]).max() < 1e-10
            models[order[1]]._kv_cache.reset()
            disable_kv_cache(models[i])
            assert_array_equal(models[i](ids).data, wanted[i])
    assert [module.core for model in models for module in model.modules() if hasattr(module, "core")] == cores


def test_what_is_set_while_enabled_survives() -> None:
    model = make()
    enable_kv_cache(model)
    inner = model.forward

    def doubled(*args: Any, **kwargs: Any) -> Tensor:
        return inner(*args, **kwargs) * 2

    def core(*args: Any) -> Tensor:
        return args[2]

    with no_grad():
        wanted = model.next_logits([[1, 2, 3]]).data * 2
        model.forward = doubled  # type: ignore[method-assign]
        assert np.abs(model.next_logits([[1, 2, 3]]).data - wanted).max() < 1e-10
        disable_kv_cache(model)
        assert model.forward is doubled
        assert np.abs(model.next_logits([[1, 2, 3]]).data - wanted).max() < 1e-10
        del model.forward
        enable_kv_cache(model)
        model.blocks[1].attention.core = core
        with pytest.raises(CacheError, match="attention was called 2 times"):
            model([[1, 2]])
        disable_kv_cache(model)
    assert model.blocks[1].attention.core is core
    assert model.blocks[0].attention.core is attention


def test_the_words_that_others_read() -> None:
    model = make()
    cache = enable_kv_cache(model, batch_size=2, max_seq_len=9)
    assert isinstance(cache, KVCache)
    assert model._cache_enabled is True
    assert model._kv_cache is cache
    assert len(cache.caches) == 3
    assert cache.caches[0][0].shape == cache.caches[2][1].shape == (2, 4, 9, 4)
    with no_grad():
        model(tokens(2, 5))
    for layer, pair in enumerate(cache.caches):
        for memory, held in zip(pair, cache.get(layer), strict=True):
            assert_array_equal(memory[:, :, :5], held.data)
    disable_kv_cache(model)
    assert model._cache_enabled is False
    enable_kv_cache(model)
    assert model._cache_enabled is True


@pytest.mark.parametrize("dtype", [np.float64, np.float16])
def test_a_model_that_is_converted_while_enabled(dtype: Any) -> None:
    model, ids = make(dtype=np.float32), tokens(1, 6)
    cache = enable_kv_cache(model)
    with no_grad():
        model(ids)
        model.astype(dtype)
        with pytest.raises(StaleCacheError):
            model(ids)
        found = model.next_logits(ids)
        assert (found.dtype, cache.dtype) == (dtype, dtype)
        disable_kv_cache(model)
        assert np.abs(found.data - model.next_logits(ids).data).max() < (1e-10 if dtype is np.float64 else 1e-1)


def test_threads_may_use_one_cached_model() -> None:
    model = make()
    prompts = [[i, 2 * i, 3] for i in range(1, 6)]
    wanted = [model.generate(prompt, 12, temperature=0).data for prompt in prompts]
    enable_kv_cache(model)
    wrong: list[Any] = []

    def work(i: int) -> None:
        for _ in range(6):
            found = model.generate(prompts[i], 12, temperature=0).data
            streamed = [*prompts[i], *model.stream(prompts[i], 12, temperature=0)]
            beams = beam_search(model, prompts[i], 1, 12).data
            wrong.extend(row for row in (found, streamed, beams) if not np.array_equal(row, wanted[i]))

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(5) as threads:
            list(threads.map(work, range(5)))
    finally:
        sys.setswitchinterval(interval)
    assert not wrong


def test_training_in_one_thread_while_another_generates() -> None:
    """The step under way belongs to its thread: attention elsewhere is what it was."""
    model, ids = make(), tokens(2, 8)
    wanted = step(model, ids)
    enable_kv_cache(model)
    found: list[Any] = []
    here = threading.get_ident()

    def train(module: Any, args: Any, kwargs: Any) -> None:
        if threading.get_ident() == here:
            with ThreadPoolExecutor(1) as thread:
                found.extend(thread.submit(step, model, ids).result())

    handle = model.blocks[1].norm1.register_forward_pre_hook(train)
    with no_grad():
        model.next_logits(ids)
    handle.remove()
    for a, b in zip(wanted, found, strict=True):
        assert_array_equal(a, b)


def test_every_layer_has_its_own_place() -> None:
    model = make(num_layers=4)
    cache = enable_kv_cache(model)
    with no_grad():
        model(tokens(1, 5))
    keys = [cache.get(layer)[0].data for layer in range(4)]
    for i in range(4):
        for j in range(i):
            assert np.abs(keys[i] - keys[j]).max() > 1e-3


def test_a_copy_of_an_enabled_model_has_a_cache_of_its_own() -> None:
    model, ids = make(), tokens(1, 8)
    with no_grad():
        wanted = model(ids).data
    cache = enable_kv_cache(model)
    model.generate(ids, 3)  # makes the straight way, which must not be that of the copy
    cache.reset()
    with no_grad():
        model(ids[:, :4])
        twin = copy.deepcopy(model)
        assert np.abs(twin(ids[:, 4:]).data - wanted[:, 4:]).max() < 1e-10
        assert (cache.seq_pos, twin._kv_cache.seq_pos) == (4, 8)
        twin.norm.weight.data *= 2
        longer = np.concatenate((ids, [[1]]), axis=1)
        assert twin.next_logits(longer).shape == twin.next_logits(np.append(longer, [[2]], axis=1)).shape
        assert (cache.seq_pos, twin._kv_cache.seq_pos) == (4, 10)
    disable_kv_cache(twin)
    assert "forward" not in twin.__dict__
    assert twin.blocks[0].attention.core is not model.blocks[0].attention.core
    assert model._cache_enabled


@pytest.mark.parametrize("where", ["first layer", "last layer", "after attention"])
def test_a_step_that_fails_is_as_if_it_had_never_begun(where: str) -> None:
    model, ids = make(), tokens(1, 10)
    with no_grad():
        wanted = model(ids).data
    cache = enable_kv_cache(model)
    place = {
        "first layer": model.blocks[0].feed_forward,
        "last layer": model.blocks[-1].attention.out_proj,
        "after attention": model.norm,
    }[where]

    def fail(*args: Any) -> None:
        raise KeyboardInterrupt

    with no_grad():
        model(ids[:, :4])
        handle = place.register_forward_pre_hook(fail)
        with pytest.raises(KeyboardInterrupt):
            model(ids[:, 4:9])
        handle.remove()
        assert cache.seq_pos == 4
        assert cache.get(0)[0].shape[2] == 4
        x = Tensor(np.ones((1, 3, 16)), np.float64)
        block = model.blocks[0](x).data  # outside of a step a block is what it was
        assert np.abs(model(ids[:, 4:]).data - wanted[:, 4:]).max() < 1e-10
        disable_kv_cache(model)
        assert_array_equal(model.blocks[0](x).data, block)


def test_a_full_cache_stays_as_it_was() -> None:
    model, ids = make(), tokens(1, 12)
    cache = enable_kv_cache(model, max_seq_len=8)
    with no_grad():
        model(ids[:, :6])
        before = cache.get(2)[0].data.copy()
        with pytest.raises(ValueError, match="position 9 is beyond max_seq_len=8, nothing was written"):
            model(ids[:, 6:9])
        assert cache.seq_pos == 6
        assert_array_equal(cache.get(2)[0].data, before)
        model(ids[:, 6:8])
    with pytest.raises(ValueError, match="beyond max_seq_len=8"):
        model.generate([1, 2, 3], 10, temperature=0)


def test_the_batch_is_checked_or_made_to_fit() -> None:
    model = make()
    cache = enable_kv_cache(model)
    with no_grad():
        model(tokens(3, 2))  # nothing was in it
        assert cache.batch_size == 3
        with pytest.raises(ValueError, match="2 sequences, and the cache is for 3"):
            model(tokens(2, 2))
        model.next_logits(tokens(2, 2))  # the whole sequence is given
        assert cache.batch_size == 2
        enable_kv_cache(model, KVCache(2, 16, 3, 4, 4, np.float64))
        with pytest.raises(ValueError, match="3 sequences, and the cache is for 2"):
            model.next_logits(tokens(3, 2))
        with pytest.raises(ValueError, match=r"tokens of shape \(3,\)"):
            model([1, 2, 3])


# Training


def step(model: GPT, ids: Any) -> list[Any]:
    model.zero_grad()
    loss = F.cross_entropy(model(ids[:, :-1]), ids[:, 1:])
    loss.backward()  # type: ignore[attr-defined]
    return [loss.data, *(parameter.grad.data.copy() for parameter in model.parameters() if parameter.grad is not None)]


def test_gradients_are_bit_for_bit_the_same() -> None:
    model, ids = make("grouped").train(), tokens(4, 12)
    wanted = step(model, ids)
    cache = enable_kv_cache(model)
    with no_grad():
        model(tokens(1, 3))
    found = step(model, ids)
    assert len(wanted) == len(list(model.parameters())) + 1
    for a, b in zip(wanted, found, strict=True):
        assert_array_equal(a, b)
    assert cache.seq_pos == 3
    with no_grad(), enable_grad():
        assert model(ids).shape == (4, 12, 17)
    assert cache.seq_pos == 3


@pytest.mark.parametrize("how", ["step", "by hand", "load", "replaced"])
@pytest.mark.parametrize("paged", [False, True])
def test_after_training_nothing_old_is_used(how: str, paged: bool) -> None:
    model, prompt = make(), list(range(10))
    enable_kv_cache(model, PagedCache(BlockPool(20, 4, 3, 4, 4, np.float64)) if paged else None)
    before = model.generate(prompt, 6, temperature=0)
    if how == "step":
        step(model, tokens(2, 8))
        for parameter in model.parameters():
            assert parameter.grad is not None
            parameter.data -= 0.5 * parameter.grad.data
    elif how == "by hand":
        model.blocks[1].attention.k_proj.weight.data[:] *= -1
    elif how == "load":
        model.load_state_dict(make(seed=9).state_dict())
    else:
        model.blocks[0].attention.v_proj.weight = make(seed=9).blocks[0].attention.v_proj.weight
    found = model.generate(prompt, 6, temperature=0)
    disable_kv_cache(model)
    wanted = model.generate(prompt, 6, temperature=0)
    assert_array_equal(found.data, wanted.data)
    assert not np.array_equal(before.data, wanted.data)


def test_going_on_after_training_is_refused() -> None:
    model = make()
    cache = enable_kv_cache(model)
    with no_grad():
        model(tokens(1, 3))
    with enable_grad():
        step(model, tokens(2, 8))
    with no_grad():
        model(tokens(1, 1))  # gradients alone change nothing
        model.norm.weight[0] = 3.0
        for _ in range(2):
            with pytest.raises(ValueError, match="weights are not those that the cache was filled with, 4 positions"):
                model(tokens(1, 1))
        cache.reset()
        model(tokens(1, 1))


def test_generation_with_dropout_goes_the_old_way() -> None:
    model = make(dropout=0.5).train()
    wanted = model.generate([1, 2, 3], 1, temperature=0)
    cache = enable_kv_cache(model)
    assert model.generate([1, 2, 3], 1, temperature=0).shape == wanted.shape
    assert cache.seq_pos == 0
    with no_grad(), pytest.raises(ValueError, match=r"called 0 times for 3 layers; call model.eval\(\)"):
        model(tokens(1, 3))
    assert cache.seq_pos == 0
    model.eval().generate([1, 2, 3], 1, temperature=0)
    assert cache.seq_pos == 3


def test_a_module_that_was_replaced_is_noticed() -> None:
    model = make()
    cache = enable_kv_cache(model)
    model.blocks[1] = make(seed=5).blocks[1]
    with no_grad(), pytest.raises(ValueError, match="attention was called 2 times for 3 layers"):
        model(tokens(1, 3))
    assert cache.seq_pos == 0


# What others see


def test_the_profiler_sees_the_cached_step() -> None:
    seen: list[str] = []

    class Observer:
        level = OBSERVE

        def __call__(self, next: Any, primitive: Any, args: Any, params: Any) -> Any:
            seen.append(primitive.name)
            return next(primitive, args, params)

    model = make()
    enable_kv_cache(model)
    unseen = model.generate([1, 2, 3], 8, temperature=0)
    model._kv_cache.reset()
    with handling(Observer()):
        seen_too = model.generate([1, 2, 3], 8, temperature=0)
    assert seen.count("cached_attention") == 8 * 3  # steps, layers
    assert "attention" not in seen
    assert_array_equal(seen_too.data, unseen.data)


def test_hooks_are_called_in_every_step() -> None:
    model = make()
    enable_kv_cache(model)
    calls: list[tuple[int, ...]] = []
    model.register_forward_hook(lambda module, args, kwargs, output: calls.append(output.shape))
    with Spy(model) as spy:
        model.generate([1, 2, 3], 4, temperature=0)
    assert calls == [(1, 1, 17)] * 4
    assert spy.computed == [3, 1, 1, 1]


def test_a_prompt_shared_through_the_pool_is_computed_once() -> None:
    model, pool = make("llama"), BlockPool(32, 4, 3, 4, 4, np.float64)
    system = list(range(10))
    wanted = [model.generate([*system, n], 5, temperature=0) for n in (11, 12)]
    enable_kv_cache(model, PagedCache(pool))
    with Spy(model) as spy:
        first = model.generate([*system, 11], 5, temperature=0)
    assert spy.computed == [11, 1, 1, 1, 1]
    enable_kv_cache(model, PagedCache(pool))
    with Spy(model) as spy:
        second = model.generate([*system, 12], 5, temperature=0)
    assert spy.computed == [3, 1, 1, 1, 1]  # two blocks of four were there
    assert_array_equal(first.data, wanted[0].data)
    assert_array_equal(second.data, wanted[1].data)


def test_a_conversation_goes_on_after_saving(tmp_path: Any) -> None:
    model, ids = make(), tokens(1, 12)
    with no_grad():
        wanted = model(ids).data
    cache = enable_kv_cache(model, GrowingCache(1, 3, 4, 4, dtype=np.float64))
    with no_grad():
        model(ids[:, :8])
    cache.save(tmp_path / "talk.safetensors")
    enable_kv_cache(model, GrowingCache.load(tmp_path / "talk.safetensors"))
    with no_grad(), Spy(model) as spy:
        logits = model.next_logits(ids)
    assert spy.computed == [4]
    assert np.abs(logits.data - wanted[:, -1]).max() < 1e-10
