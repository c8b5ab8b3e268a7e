"""Compiled products with codes beside the readable ones in float64."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from tinytorch.acceleration import accelerating, report
from tinytorch.autograd import no_grad
from tinytorch.kvcache import enable_kv_cache
from tinytorch.quantization import dequantize_rows, quantize, quantized_linear
from tinytorch.tensor import Tensor
from tinytorch.transformer import GPT, TransformerConfig

EPS = np.finfo(np.float32).eps


@given(
    st.integers(1, 8), st.integers(1, 40), st.sampled_from([2, 6, 16, 30, 32, 34, 64, 70]), st.integers(1, 3),
    st.booleans(), st.booleans(), st.booleans(), st.integers(0, 2**31),
)  # fmt: skip
def test_products_with_codes(
    rows: int, m: int, size: int, groups: int, packed: bool, shifted: bool, biased: bool, seed: int
) -> None:
    """Within n + 16 units in the last place of the sum of the terms' magnitudes, zero points counted apart."""
    rng, n = np.random.default_rng(seed), size * groups
    x, scale = rng.standard_normal((rows, n), np.float32), rng.random((m, groups), np.float32)
    codes, low, high = (np.uint8, 0, 256) if packed else (np.int8, -128, 128)
    weight = rng.integers(low, high, (m, n // 2 if packed else n), codes)
    zero = rng.integers(low, 16 if packed else high, (m, groups), codes) if shifted else None
    bias = rng.standard_normal(m, np.float32) if biased else None
    with accelerating() as during:
        found = quantized_linear(x, weight, scale, zero, bias).data
        again = quantized_linear(x, weight, scale, zero, bias).data
    assert during["quantized_linear"].served == 2
    assert found.dtype == np.float32
    assert_array_equal(again, found)
    wide = (x.astype(np.float64), weight, scale.astype(np.float64), zero, bias)
    wanted: Any = quantized_linear.forward(*wide)[0]
    largest = (15 * 2 if packed else 256) * np.repeat(scale, size, axis=1)  # of a code or zero point, times its scale
    bound = (n + 16) * EPS * (2 * np.abs(x) @ largest.T + (0 if bias is None else np.abs(bias)))
    assert (np.abs(found - wanted) <= bound).all()


def test_a_row_does_not_depend_on_the_others() -> None:
    rng = np.random.default_rng(0)
    x, weight, scale = (
        rng.standard_normal((5, 64), np.float32),
        rng.integers(0, 256, (9, 32), np.uint8),
        np.ones((9, 2)),
    )
    scale = scale.astype(np.float32)
    with accelerating():
        together = quantized_linear(x, weight, scale).data
        for i in range(5):
            assert_array_equal(quantized_linear(x[i], weight, scale).data, together[i])


def test_what_is_not_served_is_computed_and_what_is_wrong_is_refused() -> None:
    weight, scale = np.ones((3, 4), np.int8), np.ones((3, 1), np.float32)
    with accelerating() as during:
        assert quantized_linear(np.ones((20, 4), np.float32), weight, scale).shape == (20, 3)
        assert quantized_linear(Tensor(np.ones((1, 4)), np.float64), weight, scale).dtype == np.float64
        with pytest.raises(ValueError, match="for 4 input features"):
            quantized_linear(np.ones((1, 5), np.float32), weight, scale)
    assert during["quantized_linear"].served == 0
    assert len(during["quantized_linear"].unserved) == 2


@pytest.mark.parametrize("size", [1, 3, 35])
def test_groups_that_share_a_byte_are_left_to_numpy(size: int) -> None:
    config = TransformerConfig(**CONFIG | {"embed_dim": 210, "num_heads": 3})
    model = GPT.from_config(config, generator=np.random.default_rng(0)).eval()
    quantize(model, bits=4, group_size=size)
    x, ids = np.ones((2, 210), np.float32), [[1, 2, 3]]
    with no_grad():
        product, logits = model.blocks[0].feed_forward.up(x).data, model(ids).data[:, -1]
        enable_kv_cache(model)
        with accelerating() as during:
            assert_array_equal(model.blocks[0].feed_forward.up(x).data, product)
            model.next_logits([ids[0][:2]])
            found = model.next_logits(ids).data
    assert any("share a byte" in reason for reason in during["quantized_linear"].unserved)
    np.testing.assert_allclose(found, logits, rtol=0, atol=1e-5 * np.abs(logits).max())


CONFIG: dict[str, Any] = {"vocab_size": 53, "embed_dim": 64, "num_layers": 2, "num_heads": 4, "max_seq_len": 40}
WAYS: list[dict[str, Any]] = [
    {"bits": 8}, {"bits": 8, "group_size": 32}, {"bits": 4, "group_size": 32},
    {"bits": 4, "group_size": 32, "symmetric": False},
]  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_a_quantized_gpt_is_one_program(family: str, way: dict[str, Any]) -> None:
    config = TransformerConfig.llama(**CONFIG, hidden_dim=192) if family == "llama" else TransformerConfig(**CONFIG)
    model = GPT.from_config(config, generator=np.random.default_rng(0)).eval()
    quantize(model, **way)
    ids = np.random.default_rng(1).integers(0, 53, (2, 20))
    with no_grad():
        wanted = model(ids).data[:, 1:]
    enable_kv_cache(model)
    before = report().get("GPT token")
    with accelerating(), no_grad():
        found = np.stack([model.next_logits(ids[:, : t + 1]).data for t in range(1, 20)], axis=1)
    assert report()["GPT token"].served - (before.served if before else 0) == 18
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4 * np.abs(wanted).max())


def test_importing_the_stage_imports_no_compiler() -> None:
    code = "import sys, tinytorch.quantization; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_codes_stand_for_the_numbers_of_the_chapter() -> None:
    """The example of two codes in a byte, by the kernel and by hand."""
    weight, scale = np.array([[0x21, 0x43]], np.uint8), np.array([[0.5]], np.float32)
    x = np.array([[1.0, 10.0, 100.0, 1000.0]], np.float32)
    with accelerating():
        out = quantized_linear(Tensor(x), weight, scale).item()
    assert out == float((x @ dequantize_rows(weight, scale).T)[0, 0]) == 0.5 * (-7 * 1 - 6 * 10 - 5 * 100 - 4 * 1000)
