"""Models that were made smaller generate with caches what they generate without."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from tinytorch.acceleration import accelerating
from tinytorch.autograd import no_grad
from tinytorch.compression import (
    AdapterError,
    add_lora,
    factorize,
    lora_parameters,
    masks,
    merge_lora,
    n_m_prune,
    prune,
    remove_lora,
    structured_prune,
)
from tinytorch.kvcache import disable_kv_cache, enable_kv_cache
from tinytorch.kvcache.fast_step import lower_next_logits
from tinytorch.layers import Linear, ReLU, Sequential
from tinytorch.optim import SGD, AdamW
from tinytorch.profiler import Profiler
from tinytorch.quantization import QuantizedLinear, dequantize, quantize
from tinytorch.tensor import Tensor
from tinytorch.transformer import GPT, TransformerConfig

SIZES: dict[str, Any] = {"vocab_size": 23, "embed_dim": 16, "num_layers": 2, "num_heads": 4, "max_seq_len": 24}


def lively(model: GPT) -> GPT:
    """With weights so large that what comes next depends on what came before."""
    for parameter in model.blocks.parameters():
        if parameter.ndim == 2:
            parameter.data *= 12
    return model.eval()


def gpt2() -> GPT:
    return lively(GPT(**SIZES, dtype=np.float64, generator=np.random.default_rng(0)))


def llama() -> GPT:
    config = TransformerConfig.llama(**SIZES, num_kv_heads=2, tied=False)
    return lively(GPT.from_config(config, dtype=np.float64, generator=np.random.default_rng(0)))


def adapt(model: GPT) -> None:
    add_lora(model, 2)
    draw = np.random.default_rng(1)
    for _, parameter in lora_parameters(model):
        parameter.data[...] = draw.normal(size=parameter.shape)


def adapt_and_merge(model: GPT) -> None:
    adapt(model)
    merge_lora(model)


CHANGES: dict[str, Callable[[GPT], Any]] = {
    "pruned": lambda model: prune(model, 0.5),
    "2:4": lambda model: n_m_prune(model, 2, 4),
    "adapted": adapt,
    "merged": adapt_and_merge,
    "low rank": lambda model: factorize(model, 2),
    "fewer neurons": lambda model: structured_prune(model, 0.5, "neurons"),
    "fewer heads": lambda model: structured_prune(model, 0.5, "heads"),
    "fewer groups": lambda model: structured_prune(model, 0.5, "groups"),
}


@pytest.mark.parametrize("make", [gpt2, llama])
@pytest.mark.parametrize("name", CHANGES)
def test_cached_generation_equals_uncached(name: str, make: Callable[[], GPT]) -> None:
    model, prompt = make(), [[1, 2, 3], [4, 5, 6]]
    before = model.generate(prompt, 12, temperature=0).data
    CHANGES[name](model)
    slow = model.generate(prompt, 12, temperature=0).data
    assert lower_next_logits(model) is not None
    with no_grad():
        wanted = model(slow).data
        enable_kv_cache(model, batch_size=2)
        assert np.array_equal(model.generate(prompt, 12, temperature=0).data, slow)
        model._kv_cache.reset()
        steps = [model(slow[:, :5]).data, *(model(slow[:, i : i + 1]).data for i in range(5, slow.shape[1]))]
    assert_allclose(np.concatenate(steps, axis=1), wanted, atol=1e-10)
    disable_kv_cache(model)
    assert not np.array_equal(before, slow)


@pytest.mark.parametrize("name", [name for name in CHANGES if "fewer" not in name])  # other sizes need another cache
def test_a_change_is_noticed_while_the_cache_is_enabled(name: str) -> None:
    model, twin = llama(), llama()
    enable_kv_cache(model)
    model.generate([1, 2, 3], 4, temperature=0)
    CHANGES[name](model)
    CHANGES[name](twin)
    cached = model.next_logits([[1, 2, 3, 4]]).data
    assert_allclose(cached, twin.next_logits([[1, 2, 3, 4]]).data, atol=1e-10)


def test_removing_adapters_restores_what_is_generated() -> None:
    model = gpt2()
    enable_kv_cache(model)
    before = model.generate([1, 2, 3], 12, temperature=0).tolist()
    adapt(model)
    assert model.generate([1, 2, 3], 12, temperature=0).tolist() != before
    remove_lora(model)
    assert model.generate([1, 2, 3], 12, temperature=0).tolist() == before


@pytest.mark.parametrize("what", ["neurons", "heads", "groups"])
def test_the_profiler_sees_fewer_parameters_and_products(what: Any) -> None:
    whole, model, profiler = llama(), llama(), Profiler()
    structured_prune(model, 0.5, what)
    products = [profiler.count_flops(each, (1, 16), np.int64) for each in (whole, model)]
    gone = profiler.count_parameters(whole) - profiler.count_parameters(model)
    heads = 0 if what == "neurons" else 2 * 2  # in two layers
    attention = heads * 2 * (2 * 16 * 16 * 4)  # scores and sums of values, 4 numbers in a head
    assert gone > 0
    assert products[0] - products[1] == 2 * 16 * gone + attention  # two FLOPs for each weight and token


def test_a_cache_of_fewer_groups_takes_less_memory() -> None:
    whole, model = llama(), llama()
    structured_prune(model, 0.5, "groups")
    assert enable_kv_cache(model).nbytes == enable_kv_cache(whole).nbytes / 2


def test_adapters_stand_on_quantized_layers_and_leave_no_trace() -> None:
    model, ids = llama(), [[1, 2, 3, 4, 5]]
    quantize(model, bits=8)
    kinds = [type(module) for module in model.modules()]
    before = model(ids).data
    optimizer = AdamW(add_lora(model, 2), lr=0.01)
    assert any(isinstance(getattr(module, "base", None), QuantizedLinear) for module in model.modules())
    assert np.array_equal(model(ids).data, before)
    losses = []
    for _ in range(10):
        optimizer.zero_grad()
        loss = ((model(ids) - 1) ** 2).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    with no_grad():
        adapted = model(ids).data
        enable_kv_cache(model)
        assert_allclose(model(ids).data, adapted, rtol=1e-4, atol=1e-4)
        disable_kv_cache(model)
    with pytest.raises(AdapterError, match="dequantize it first"):
        merge_lora(model)
    remove_lora(model)
    assert np.array_equal(model(ids).data, before)
    assert [type(module) for module in model.modules()] == kinds
    dequantize(model)
    assert prune(model, 0.5)


@pytest.mark.parametrize("make", [lambda p: AdamW(p, lr=0.1), lambda p: SGD(p, lr=0.1, momentum=0.9)])
def test_compiled_updates_leave_pruned_weights_at_zero(make: Callable[[Any], Any]) -> None:
    model = Sequential(Linear(40, 60), ReLU(), Linear(60, 4))
    x = Tensor(np.random.default_rng(0).normal(size=(8, 40)))
    optimizer = make(model.parameters())
    with accelerating():
        for step in range(5):
            if step == 2:
                prune(model, 0.7)
            optimizer.zero_grad()
            (model(x) ** 2).sum().backward()
            optimizer.step()
    assert all(not model.state_dict()[name].data[~mask].any() for name, mask in masks(model).items())
    assert len(masks(model)) == 2
