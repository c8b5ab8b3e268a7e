"""The end-to-end proof: the gradient of every parameter, against finite differences and PyTorch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tinytorch.layers import functional as F
from tinytorch.tensor import Tensor
from tinytorch.transformer import BERT, EncoderDecoder, load_pretrained

from .models import FAMILIES, config, finite_differences, gpt, lively, tokens

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("tied", [True, False])
def test_every_gradient_of_a_four_layer_gpt_equals_finite_differences(tied: bool) -> None:
    model, ids = gpt(num_layers=4, tied=tied), tokens(2, 6)
    worst = finite_differences(model, lambda: F.cross_entropy(model(ids[:, :-1]), ids[:, 1:]))
    assert len(worst) == (4 * 16 + 4 if tied else 4 * 16 + 5)
    assert max(worst.values()) < 1e-7, max(worst, key=worst.__getitem__)


@pytest.mark.parametrize("folder", ["gpt2", "gpt2_untied"])
def test_every_gradient_of_a_four_layer_gpt_equals_pytorchs(folder: str) -> None:
    model = load_pretrained(GOLDEN / folder, "float64")
    theirs = load_pretrained(GOLDEN / folder / "gradients", "float64")  # gradients where the weights would be
    ids = np.load(GOLDEN / folder / "expected.npz")["tokens"]
    loss = F.cross_entropy(model(ids[:, :-1]), ids[:, 1:])
    loss.backward()
    assert loss.item() == pytest.approx(float(np.load(GOLDEN / folder / "gradients" / "loss.npz")["loss"]), abs=1e-12)
    assert model.num_layers == 4
    for (name, ours), expected in zip(model.named_parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(ours.grad.data, expected.data, atol=1e-12, err_msg=name)
        assert np.abs(expected.data).max() > 1e-6 or name.endswith(
            "k_proj.bias"
        )  # softmax ignores what is added to all


@pytest.mark.parametrize("family", FAMILIES)
def test_every_gradient_of_every_family_equals_finite_differences(family: str) -> None:
    model, ids, mask = gpt(family), tokens(2, 5), [[1, 1, 1, 1], [0, 1, 1, 1]]
    targets = np.where(np.array(mask) == 1, ids[:, 1:], -100)
    worst = finite_differences(model, lambda: F.cross_entropy(model(ids[:, :-1], mask), targets))
    assert max(worst.values()) < 1e-7, max(worst, key=worst.__getitem__)


def test_every_gradient_of_bert_equals_finite_differences() -> None:
    model = lively(BERT(config("bert"), pooler=True, masked_lm=True, next_sentence=True, dtype="float64"))
    ids, mask, segments = tokens(2, 5), [[1] * 5, [1, 1, 1, 0, 0]], [[0, 0, 1, 1, 1]] * 2

    def loss() -> Tensor:
        hidden = model(ids, mask, segments)
        return F.cross_entropy(model.token_logits(hidden), ids) + F.cross_entropy(
            model.next_sentence_logits(hidden), np.array([0, 1])
        )

    worst = finite_differences(model, loss)
    assert max(worst.values()) < 1e-7, max(worst, key=worst.__getitem__)


@pytest.mark.parametrize("norm_first", [True, False])
def test_every_gradient_of_the_encoder_decoder_equals_finite_differences(norm_first: bool) -> None:
    model = lively(EncoderDecoder(config("original", norm_first=norm_first, tied=norm_first), dtype="float64"))
    source, target, mask = tokens(2, 4), tokens(2, 5, seed=1), [[1] * 4, [1, 1, 0, 0]]
    worst = finite_differences(model, lambda: F.cross_entropy(model(source, target[:, :-1], mask), target[:, 1:]))
    assert max(worst.values()) < 1e-7, max(worst, key=worst.__getitem__)
