"""Quantized models with the stages that the package itself does not need: caches, training, the profiler."""

from __future__ import annotations

import copy
import runpy
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from tinytorch.autograd import no_grad
from tinytorch.data.datasets import tinytalks
from tinytorch.kvcache import (
    BlockPool,
    GrowingCache,
    Int8Cache,
    KVCache,
    PagedCache,
    SlidingWindowCache,
    beam_search,
    disable_kv_cache,
    enable_kv_cache,
    speculative_generate,
)
from tinytorch.layers import Flatten, Linear, Sequential, lower
from tinytorch.layers import functional as F
from tinytorch.optim import AdamW
from tinytorch.profiler import Profiler, summary
from tinytorch.profiler.units import size
from tinytorch.quantization import calibrate, quantize
from tinytorch.spatial import Conv2d
from tinytorch.tensor import Tensor, manual_seed
from tinytorch.training import Trainer
from tinytorch.transformer import GPT, TransformerConfig

SIZES: dict[str, Any] = {"vocab_size": 20, "embed_dim": 16, "num_layers": 2, "num_heads": 2, "max_seq_len": 40}
PROMPT = np.array([[3, 1, 4, 1, 5, 9, 2, 6]])
FAMILIES: dict[str, Callable[..., GPT]] = {
    "gpt2": lambda **options: GPT(**SIZES, **options),
    "untied": lambda **options: GPT(**SIZES, tied=False, **options),
    "llama": lambda **options: GPT.from_config(TransformerConfig.llama(**SIZES, num_kv_heads=1), **options),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "int8": {"bits": 8},
    "int4 in groups": {"bits": 4, "group_size": 8},
    "asymmetric": {"bits": 4, "group_size": 16, "symmetric": False},
}
every_family = pytest.mark.parametrize("family", FAMILIES)
every_option = pytest.mark.parametrize("option", OPTIONS)


def make(family: str, option: str, **options: Any) -> GPT:
    manual_seed(0)
    model = FAMILIES[family](**options).eval()
    for parameter in model.parameters():  # no two tokens have nearly the same score
        parameter.data *= 3
    quantize(model, **OPTIONS[option])
    return model


@every_family
@every_option
def test_cached_logits_are_uncached_logits(family: str, option: str) -> None:
    model = make(family, option, dtype="float64")
    with no_grad():
        expected = model(PROMPT).data
        enable_kv_cache(model)
        found = [model(PROMPT[:, :3]).data, *(model(PROMPT[:, i : i + 1]).data for i in range(3, 8))]
    np.testing.assert_allclose(np.concatenate(found, 1), expected, rtol=0, atol=1e-10)


@every_family
@every_option
def test_fast_step_gives_the_same_bits(family: str, option: str) -> None:
    model = make(family, option)
    function = lower(model)
    assert function is not None
    assert function(PROMPT).tobytes() == model(PROMPT).data.tobytes()
    enable_kv_cache(model)
    fast = model.generate(PROMPT, 10, temperature=0).data
    model.next_logits(PROMPT)
    assert model._kv_session._fast_step is not None
    disable_kv_cache(model)
    assert np.array_equal(model.generate(PROMPT, 10, temperature=0).data, fast)


@every_family
def test_single_tokens_have_the_same_bits_with_and_without_the_fast_step(family: str) -> None:
    model, other = make(family, "int4 in groups"), make(family, "int4 in groups")
    other.blocks[0].register_forward_hook(lambda *_: None)  # what has a hook has no fast step
    enable_kv_cache(model), enable_kv_cache(other)
    ids = PROMPT
    for _ in range(5):
        with no_grad():
            fast, slow = model.next_logits(ids).data, other.next_logits(ids).data
        assert fast.tobytes() == slow.tobytes()
        ids = np.concatenate([ids, fast.argmax(-1, keepdims=True)], 1)
    assert model._kv_session._fast_step is not None and other._kv_session._fast_step is None


CACHES: dict[str, Callable[[], Any]] = {
    "preallocated": lambda: KVCache(1, 40, 2, 2, 8),
    "growing": lambda: GrowingCache(1, 2, 2, 8),
    "paged": lambda: PagedCache(BlockPool(16, 4, 2, 2, 8)),
    "window": lambda: SlidingWindowCache(1, 2, 2, 8, window=64),
    "int8": lambda: Int8Cache(1, 40, 2, 2, 8),
}


@pytest.mark.parametrize("kind", CACHES)
def test_every_cache_serves(kind: str) -> None:
    model = make("gpt2", "int8")
    expected = model.generate(PROMPT, 12, temperature=0).data
    enable_kv_cache(model, CACHES[kind]())
    found = model.generate(PROMPT, 12, temperature=0).data
    agreeing = int((found == expected).cumprod(1).sum())
    assert agreeing == expected.size or (kind == "int8" and agreeing > PROMPT.size)
    disable_kv_cache(model)
    enable_kv_cache(model, CACHES[kind]())
    assert [*model.stream(PROMPT[0], 12, temperature=0)] == found[0, 8:].tolist()


def test_beams_and_speculation() -> None:
    model = make("gpt2", "int8")
    greedy = model.generate(PROMPT, 8, temperature=0).data
    uncached = beam_search(model, PROMPT, num_beams=1, max_new_tokens=8).data
    assert np.array_equal(uncached, greedy)
    draft = quantize(copy.deepcopy(FAMILIES["gpt2"]()).eval(), bits=4)
    enable_kv_cache(model), enable_kv_cache(draft)
    assert np.array_equal(speculative_generate(model, draft, PROMPT, 8).data, greedy)


def test_cache_notices_that_the_model_was_quantized() -> None:
    manual_seed(0)
    model = FAMILIES["gpt2"]().eval()
    enable_kv_cache(model)
    model.generate(PROMPT, 4, temperature=0)
    quantize(model, bits=4)
    found = model.generate(PROMPT, 8, temperature=0).data
    disable_kv_cache(model)
    assert np.array_equal(found, model.generate(PROMPT, 8, temperature=0).data)


def test_profiler_counts_products_and_bytes() -> None:
    model = FAMILIES["untied"]().eval()
    prof = Profiler()
    expected = prof.count_flops(model, (1, 8))
    before = summary(model, (1, 8))
    quantize(model, bits=4, group_size=8)
    assert prof.count_flops(model, (1, 8)) == expected
    memory = prof.measure_memory(model, (1, 8))
    assert memory["parameter_memory_mb"] + memory["buffer_memory_mb"] == model.nbytes / 2**20
    after = summary(model, (1, 8))
    assert after.flops == before.flops and not after.not_counted
    assert after.parameter_bytes + after.buffer_bytes == model.nbytes < before.parameter_bytes / 2
    assert f"{size(after.buffer_bytes)} of buffers" in str(after)


@pytest.mark.parametrize("activations", ["dynamic", None])
def test_profiler_counts_networks_of_integers(activations: str | None) -> None:
    prof, model = Profiler(), Sequential(Conv2d(2, 4, 3, groups=2), Flatten(), Linear(4 * 36, 5))
    expected = prof.count_flops(model, (3, 2, 8, 8))
    quantize(model, activations=activations)
    assert prof.count_flops(model, (3, 2, 8, 8)) == expected
    x = Tensor(np.ones((3, 2, 8, 8)), requires_grad=True)
    with Profiler(model) as prof:
        model(x).sum().backward()
    assert not prof.not_counted
    assert prof.flops == 2 * expected  # forward, and the gradient of the inputs alone


def test_what_a_lookup_and_a_product_read(tmp_path: Path) -> None:
    model = FAMILIES["gpt2"]().eval()
    quantize(model, bits=4, group_size=8)
    with no_grad(), Profiler(model) as prof:
        model(PROMPT)
        quantize(Linear(8, 4))(np.ones((2, 8), np.float32))
    events = {event.name: event for event in prof.events}
    read, _ = events["quantized_embedding"].traffic
    assert read == 8 * 8 + 8 * (16 // 2) + 8 * 2 * 4  # indices, then codes and scales of 8 rows
    read, _ = events["quantized_linear"].traffic
    assert read == 2 * 8 * 4 + 8 * 4 + 4 * 4 + 4 * 4  # x, codes, scales, bias
    assert not prof.not_counted


# Quality: a language model that is trained here, in a few seconds


@pytest.fixture(scope="module")
def trained() -> tuple[GPT, list[Any], list[Any]]:
    """A model of the letters of TinyTalks, batches of what it has read, and others."""
    manual_seed(0)
    text = "\n".join(f"{question} {answer}" for question, answer in tinytalks("train"))
    letters = sorted(set(text))
    ids = np.array([letters.index(letter) for letter in text])
    rows = ids[: len(ids) // 33 * 33].reshape(-1, 33)
    rng = np.random.default_rng(0)
    rng.shuffle(rows)
    read, others = rows[:-64], rows[-64:]
    model = GPT(vocab_size=len(letters), embed_dim=64, num_layers=2, num_heads=4, max_seq_len=32)
    optimizer = AdamW(model.parameters(), lr=5e-3)
    for _ in range(150):
        batch = read[rng.integers(0, len(read), 16)]
        optimizer.zero_grad()
        F.cross_entropy(model(batch[:, :-1]), batch[:, 1:]).backward()
        optimizer.step()
    return model.eval(), [read[i : i + 16, :-1] for i in range(0, 64, 16)], [others[:32], others[32:]]


def perplexity(model: GPT, batches: list[Any]) -> float:
    with no_grad():
        losses = [F.cross_entropy(model(batch[:, :-1]), batch[:, 1:]).item() for batch in batches]
    return float(np.exp(np.mean(losses)))


def test_perplexity_of_few_bits(trained: tuple[GPT, list[Any], list[Any]]) -> None:
    model, examples, batches = trained
    exact = perplexity(model, batches)
    assert exact < 20  # it has learned something: there are more than 60 letters

    def worse(*args: Any, **options: Any) -> float:
        other = copy.deepcopy(model)
        quantize(other, *args, **options)
        if options.get("activations") == "static":
            calibrate(other, examples, "mse")
        return perplexity(other, batches) / exact - 1

    assert abs(worse("float16")) < 0.0005 and abs(worse("bfloat16")) < 0.005
    assert abs(worse(8)) < 0.005
    assert abs(worse(8, activations="dynamic")) < 0.01
    assert abs(worse(8, activations="static")) < 0.05
    options: dict[str, Any] = {"method": "gptq", "batches": examples}
    assert worse(4, 32, **options) < 0.04
    assert worse(4, 32, act_order=True, **options) < 0.04
    assert worse(3, 32, **options) < worse(3, 32)


def test_training_goes_on_after_quantization(trained: tuple[GPT, list[Any], list[Any]], tmp_path: Path) -> None:
    """The norms and biases of a model of codes learn, and a checkpoint of it resumes to the bit."""
    model, _, batches = trained
    other = copy.deepcopy(model)
    quantize(other, 3, 32)
    before, codes = perplexity(other, batches), other.token_embedding.weight.data.copy()

    def trainer(model: GPT) -> Trainer:
        def loss(logits: Any, targets: Any) -> Any:
            return F.cross_entropy(logits, targets)

        return Trainer(model, AdamW(model.parameters(), lr=1e-3), loss, checkpoint=tmp_path / "checkpoint.safetensors")

    data = [(Tensor(batch[:, :-1]), Tensor(batch[:, 1:])) for batch in batches]
    resumed = copy.deepcopy(other)
    trainer(copy.deepcopy(other)).fit(data, steps=4, progress=False)
    trainer(resumed).fit(data, steps=8, resume=True, progress=False)
    (tmp_path / "checkpoint.safetensors").unlink()
    trainer(other).fit(data, steps=8, progress=False)
    assert np.array_equal(other.token_embedding.weight.data, codes)
    assert perplexity(other.eval(), batches) < before
    assert all(np.array_equal(a.data, b.data) for a, b in zip(other.parameters(), resumed.parameters(), strict=True))


def test_program_that_measures_draws_and_checks_its_claims(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))  # it adds the milestones
    path = Path(__file__).parents[1] / "packages/tinytorch-quantization/tools/quality_against_bits.py"
    program = SimpleNamespace(**runpy.run_path(str(path)))
    manual_seed(0)
    model = FAMILIES["gpt2"]().eval()

    def measure(model: Any) -> dict[str, float]:
        with no_grad():
            return {"perplexity": float(np.exp(F.cross_entropy(model(PROMPT[:, :-1]), PROMPT[:, 1:]).item()))}

    subject = program.Subject("Python's source", model, [PROMPT] * 2, measure, groups=False)
    console = Console(file=StringIO(), width=140)
    rows = program.examine([subject], console)
    console.print(program.table(rows, [subject]))
    assert [row["way"] for row in rows] == [way.name for way in program.WAYS]
    assert console.file.getvalue().count("int4, groups of 32, GPTQ by activation") == 2
    sizes = {row["way"]: row["Python's source"]["size"] for row in rows}
    assert sizes["float32"] == 1 > sizes["float16"] > sizes["int8"] > sizes["int4, groups of 32, GPTQ"]
    program.draw(rows, [subject], tmp_path / "bits.svg")
    assert (tmp_path / "bits.svg").read_text().count("perplexity") >= 1
    assert set(program.claims_kept(rows)) == {"int8 within 0.5 %", "int4 with GPTQ within 4 %"}
    rows[3]["Python's source"]["perplexity"] *= 1.01
    assert not program.claims_kept(rows)["int8 within 0.5 %"]
