"""What every model keeps, whatever its parts."""

from __future__ import annotations

import copy
import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinytorch.attention import MultiHeadAttention
from tinytorch.autograd import no_grad
from tinytorch.layers import functional as F
from tinytorch.tensor import Tensor, randn
from tinytorch.transformer import (
    BERT,
    GPT,
    EncoderDecoder,
    FeedForward,
    PositionalEncoding,
    TransformerBlock,
    TransformerConfig,
    sinusoids,
)

from .models import FAMILIES, SIZES, config, gpt, lively, tokens

every_family = pytest.mark.parametrize("family", FAMILIES)


@every_family
def test_a_later_token_changes_no_earlier_logit(family: str) -> None:
    model, ids = gpt(family), tokens(1, 7)
    before = model(ids).data
    ids[0, 4] = (ids[0, 4] + 1) % SIZES["vocab_size"]
    after = model(ids).data
    assert np.array_equal(before[:, :4], after[:, :4])
    assert not np.isclose(before[:, 4:], after[:, 4:]).all(axis=-1).any()


@every_family
def test_a_batch_with_padding_matches_single_texts(family: str) -> None:
    model, ids = gpt(family), tokens(2, 6)
    alone = model(ids[1:, 2:]).data[0]
    np.testing.assert_allclose(model(ids, [[1] * 6, [0, 0, 1, 1, 1, 1]]).data[1, 2:], alone, atol=1e-12)
    last = model(np.concatenate([ids[1:, 2:], ids[1:, :2]], axis=1), [[1, 1, 1, 1, 0, 0]]).data[0, :4]
    np.testing.assert_allclose(last, alone, atol=1e-12)


@every_family
def test_next_logits_are_the_last_of_forward(family: str) -> None:
    model, ids = gpt(family), tokens(3, 5)
    np.testing.assert_allclose(model.next_logits(ids).data, model(ids).data[:, -1], atol=1e-13)
    assert model(ids, last_only=True).shape == (3, 1, SIZES["vocab_size"])


@pytest.mark.parametrize("family", ["gpt2", "sinusoidal", "llama"])
def test_positions_are_an_argument(family: str) -> None:
    model, ids = gpt(family), tokens(2, 4)
    assert np.array_equal(model(ids).data, model(ids, positions=np.arange(4)).data)
    moved = model(ids, positions=np.arange(4) + 7).data
    assert np.allclose(moved, model(ids).data) == (family == "llama")  # rotary positions: distances alone count
    rows = model(ids, positions=np.stack([np.arange(4), np.arange(4) + 7])).data
    np.testing.assert_allclose(rows, np.stack([model(ids).data[0], moved[1]]), atol=1e-13)


def test_the_parts_have_their_names() -> None:
    model = GPT(**SIZES)
    assert (model.embed_dim, model.num_layers, model.num_heads, model.max_seq_len) == (8, 2, 4, 32)
    assert all(isinstance(block.attention, MultiHeadAttention) and block.attention.causal for block in model.blocks)
    assert len(model.blocks) == 2 and model.blocks[0].attention.head_dim == 2
    assert model.head is None and "head.weight" not in model.state_dict()


def test_gpt2_small_has_its_known_number_of_parameters() -> None:
    layer = GPT(vocab_size=1, embed_dim=768, num_layers=1, num_heads=12, max_seq_len=1)
    block = sum(p.size for p in layer.blocks.parameters())
    assert 50257 * 768 + 1024 * 768 + 12 * block + 2 * 768 == 124_439_808


def test_a_model_of_a_configuration_is_the_same_model() -> None:
    a = GPT(**SIZES, generator=np.random.default_rng(3))
    b = GPT.from_config(TransformerConfig(**SIZES), generator=np.random.default_rng(3))
    assert np.array_equal(a(tokens(1, 3)).data, b(tokens(1, 3)).data)


def test_starting_values_are_those_of_gpt2() -> None:
    model = GPT(vocab_size=200, embed_dim=64, num_layers=8, num_heads=4, max_seq_len=200)
    for name, parameter in model.named_parameters():
        values = parameter.data
        if name.endswith(("out_proj.weight", "down.weight")):
            assert values.std() == pytest.approx(0.02 / math.sqrt(16), rel=0.1)
        elif "norm" not in name and name.endswith("weight"):
            assert values.std() == pytest.approx(0.02, rel=0.1)
        elif name.endswith("bias"):
            assert not values.any()
    ids = np.random.default_rng(0).integers(0, 200, (4, 20))
    assert F.cross_entropy(model(ids[:, :-1]), ids[:, 1:]).item() == pytest.approx(math.log(200), abs=0.2)


def test_float32_stays_float32_and_is_close() -> None:
    ids = tokens(2, 6)
    for family in FAMILIES:
        exact = gpt(family)
        expected = exact(ids).data
        fast = exact.astype("float32")(ids)
        assert fast.dtype == np.float32
        np.testing.assert_allclose(fast.data, expected, atol=1e-4)


def test_dropout_acts_while_training_only() -> None:
    model, ids = lively(GPT(**SIZES, dropout=0.3, generator=np.random.default_rng(0))), tokens(1, 5)
    assert not np.array_equal(model(ids).data, model(ids).data)
    model.eval()
    assert np.array_equal(model(ids).data, model(ids).data)


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_the_embeddings_are_dropped_out_before_the_first_block(family: str) -> None:
    model, ids = gpt(family, dropout=0.5), tokens(2, 5)
    model.train()
    inputs: list[Any] = []
    model.blocks[0].register_forward_pre_hook(lambda block, args, kwargs: inputs.append(args[0].data))
    model(ids)
    embedded = model.token_embedding(ids)
    whole = embedded.data if model.positional is None else model.positional(embedded).data
    kept = inputs[0] != 0
    assert 0 < kept.sum() < kept.size
    np.testing.assert_allclose(inputs[0][kept], 2 * whole[kept], rtol=1e-12)


@pytest.mark.parametrize("embed_dim", [8, 24, 64, 100, 4096])
def test_the_llama_feed_forward_has_eight_thirds_rounded_up_to_eights(embed_dim: int) -> None:
    size = config("llama", embed_dim=embed_dim, num_heads=2).hidden_dim
    assert size is not None and size % 8 == 0
    assert 3 * (size - 8) < 8 * embed_dim <= 3 * size


def test_blocks_add_to_the_stream() -> None:
    block = lively(TransformerBlock(config("gpt2"), causal=True, dtype="float64"))
    x = randn(1, 3, 8, dtype="float64")
    y = x + block.attention(block.norm1(x))
    np.testing.assert_allclose(block(x).data, (y + block.feed_forward(block.norm2(y))).data, atol=1e-13)


def test_swiglu_is_its_formula() -> None:
    part = FeedForward(4, 6, "swiglu", bias=False, dtype="float64")
    x = randn(3, 4, dtype="float64")
    gate, up, down = (layer.weight.data for layer in (part.gate, part.up, part.down))  # type: ignore[union-attr]
    pre = x.data @ gate
    np.testing.assert_allclose(part(x).data, (pre / (1 + np.exp(-pre)) * (x.data @ up)) @ down, atol=1e-14)


def test_sines_are_those_of_the_formula() -> None:
    table = sinusoids(5, 6)
    assert table[3, 2] == pytest.approx(math.sin(3 / 10000 ** (2 / 6)))
    assert table[3, 3] == pytest.approx(math.cos(3 / 10000 ** (2 / 6)))
    assert sinusoids(5, 7).shape == (5, 7)
    positions = PositionalEncoding(4, 6)
    np.testing.assert_allclose(positions(Tensor(np.zeros((1, 9, 6)), "float64")).data[0], sinusoids(9, 6), rtol=1e-15)


def test_an_encoder_sees_both_directions_and_no_padding() -> None:
    model = lively(BERT(config("bert"), dtype="float64")).eval()
    ids = tokens(2, 5)
    hidden = model(ids, [[1] * 5, [1, 1, 1, 0, 0]])
    assert hidden.shape == (2, 5, 8)
    np.testing.assert_allclose(hidden.data[1, :3], model(ids[1:, :3]).data[0], atol=1e-13)
    changed = ids.copy()
    changed[0, 4] = (changed[0, 4] + 1) % 17
    assert not np.isclose(model(changed).data[0, 0], model(ids).data[0, 0]).all()


def test_the_encoder_decoder_equals_pytorchs_layers() -> None:
    golden = np.load(Path(__file__).parent / "golden" / "original.npz")
    sizes = {"vocab_size": 23, "embed_dim": 8, "num_layers": 2, "num_heads": 2, "max_seq_len": 8}
    model = EncoderDecoder(TransformerConfig.original(**sizes), dtype="float64")
    model.load_state_dict(ours_from_pytorch({k[8:]: golden[k] for k in golden if k.startswith("weights.")}))
    logits = model(golden["source"], golden["target"], golden["mask"])
    np.testing.assert_allclose(logits.data, golden["logits"], rtol=1e-12)


def ours_from_pytorch(theirs: dict[str, Any]) -> dict[str, Any]:
    """PyTorch holds q, k and v in one transposed array, and numbers the norms in order of use."""
    modules = {
        "self_attn.out_proj": "attention.out_proj", "multihead_attn.out_proj": "cross_attention.out_proj",
        "linear1": "feed_forward.up", "linear2": "feed_forward.down",
    }  # fmt: skip
    ours = {"token_embedding.weight": theirs["table.weight"]}
    for name, value in theirs.items():
        side, _, rest = name.partition(".")
        if side == "table":
            continue
        number, _, rest = rest.partition(".")
        module, _, leaf = rest.rpartition(".")
        norms = {"encoder": ["norm1", "norm2"], "decoder": ["norm1", "cross_norm", "norm2"]}[side]
        if leaf.startswith("in_proj"):
            attention = {"self_attn": "attention", "multihead_attn": "cross_attention"}[module]
            for letter, part in zip("qkv", np.split(value, 3), strict=True):
                ours[f"{side}.{number}.{attention}.{letter}_proj.{leaf[8:]}"] = part.T
        elif module.startswith("norm"):
            ours[f"{side}.{number}.{norms[int(module[4:]) - 1]}.{leaf}"] = value
        else:
            ours[f"{side}.{number}.{modules[module]}.{leaf}"] = value.T
    return ours


def test_the_decoder_sees_the_whole_source_and_no_later_target() -> None:
    model = lively(EncoderDecoder(config("original"), dtype="float64"))
    source, target = tokens(1, 5), tokens(1, 4, seed=1)
    before = model(source, target).data
    target[0, 2] = (target[0, 2] + 1) % 17
    assert np.array_equal(before[:, :2], model(source, target).data[:, :2])
    source[0, 4] = (source[0, 4] + 1) % 17
    assert not np.isclose(before[:, 0], model(source, target).data[:, 0]).all()


@pytest.mark.parametrize("norm_first", [True, False])
def test_the_decoder_sees_no_padding_of_the_source(norm_first: bool) -> None:
    model = lively(EncoderDecoder(config("original", norm_first=norm_first), dtype="float64"))
    source, target = tokens(1, 6), tokens(1, 4, seed=1)
    padded = model(source, target, [[1, 1, 1, 1, 0, 0]])
    np.testing.assert_allclose(padded.data, model(source[:, :4], target).data, atol=1e-12)


def test_no_grad_records_nothing() -> None:
    model = gpt()
    with no_grad():
        assert not model(tokens(1, 3)).requires_grad


MODEL, MODEL_BERT = gpt(), BERT(config("bert"))
WRONG: dict[str, tuple[Any, type[Exception], str]] = {
    "floats": (lambda: MODEL([[1.0]]), TypeError, "they are integers"),
    "one axis": (lambda: MODEL([1, 2]), ValueError, "the form is (B, T)"),
    "no tokens": (lambda: MODEL(np.zeros((1, 0), int)), ValueError, "at least one token"),
    "token out of range": (lambda: MODEL([[17]]), IndexError, "index 17 in a table of 17 rows"),
    "negative token": (lambda: MODEL([[-1]]), IndexError, "index -1"),
    "too long": (lambda: MODEL([[0] * 33]), ValueError, "positions up to 31 are learned"),
    "position too high": (lambda: MODEL([[0]], positions=[32]), ValueError, "position 32"),
    "positions of another length": (lambda: MODEL([[0, 1]], positions=[0]), ValueError, "give (T,) or (B, T)"),
    "mask of another shape": (lambda: MODEL([[0, 1]], [[1]]), ValueError, "it is (B, T)"),
    "mask of floats": (lambda: MODEL([[0, 1]], [[1.0, 1.0]]), ValueError, "1 or true for a token and 0"),
    "unknown norm": (lambda: config("gpt2", norm="batch"), ValueError, "known are layer, rms"),
    "no layers": (lambda: config("gpt2", num_layers=0), ValueError, "at least 1"),
    "numbers for a block": (lambda: TransformerBlock(8, 2), TypeError, "TransformerBlock: config is 8; give"),
    "numbers for a model": (lambda: GPT.from_config(50), TypeError, "GPT: config is 50"),
    "numbers for an encoder": (lambda: BERT(8), TypeError, "BERT: config is 8"),
    "numbers for both": (lambda: EncoderDecoder(8), TypeError, "EncoderDecoder: config is 8"),
    "stop beyond the vocabulary": (lambda: config("gpt2", stop_tokens=(17,)), ValueError, "must be below 17"),
    "tied by a word": (lambda: config("gpt2", tied="no"), TypeError, "it must be True or False"),
    "no keys": (lambda: config("gpt2", num_kv_heads=0), ValueError, "num_kv_heads is 0; it must be"),
    "half a layer": (lambda: config("gpt2", num_layers=1.5), TypeError, "must be an int"),
    "heads that do not divide": (lambda: GPT(**{**SIZES, "num_heads": 3}), ValueError, "not a multiple"),
    "unknown activation": (lambda: FeedForward(4, activation="gleu"), ValueError, "'gleu'"),
    "no positions": (lambda: PositionalEncoding(0, 4), ValueError, "max_seq_len is 0; it must be"),
    "next sentence without pooler": (lambda: BERT(config("bert"), next_sentence=True), ValueError, "pooler=True"),
    "no head": (lambda: MODEL_BERT.token_logits(randn(1, 1, 8)), ValueError, "masked_lm=True"),
    "no segments": (lambda: BERT(config("bert", num_segments=0))([[1]], segments=[[0]]), ValueError, "num_segments"),
    "third segment": (lambda: MODEL_BERT([[1]], segments=[[2]]), IndexError, "table of 2 rows"),
    "rotary between two": (lambda: EncoderDecoder(config("llama")), ValueError, "choose others"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_arguments_are_refused(case: str) -> None:
    run, error, words = WRONG[case]
    with pytest.raises(error) as caught:
        run()
    assert words in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 2


@every_family
@pytest.mark.parametrize(
    "again", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))], ids=["copy", "pickle"]
)
def test_a_copy_learns_like_its_original(family: str, again: Any) -> None:
    model, ids = gpt(family), tokens(2, 6)
    twin = again(model)
    for one in (model, twin):
        F.cross_entropy(one(ids[:, :-1]), ids[:, 1:]).backward()
    for (name, p), q in zip(model.named_parameters(), twin.parameters(), strict=True):
        assert p is not q
        assert p.grad is not None, name
        assert q.grad is not None, name
        np.testing.assert_array_equal(p.grad.data, q.grad.data, err_msg=name)
