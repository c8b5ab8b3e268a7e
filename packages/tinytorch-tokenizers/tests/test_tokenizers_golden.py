"""The same ids, texts and files as Hugging Face's tokenizers."""

import json
from pathlib import Path
from typing import Any

import pytest

from tinytorch.tokenizers import LLAMA3_PATTERN, BPETokenizer
from tinytorch.tokenizers.unicode_classes import LETTERS, NUMBERS, WHITE_SPACE, ranges

SPECIAL = ["<bos>", "<sep>", "<eos>", "<pad>"]


@pytest.fixture(params=["gpt2", "llama3", "digits"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def test_encoded_ids_are_the_same(golden: Path, name: str) -> None:
    tokenizer = BPETokenizer.load(golden / f"{name}.tokenizer.json")
    cases = read(golden / f"{name}.cases.json")
    for text, ids in cases["encoded"]:
        assert tokenizer.encode(text) == ids, text
    for (text, _), ids in zip(cases["encoded"], cases["without_special"], strict=False):
        assert tokenizer.encode(text, add_special_tokens=False) == ids, text


def test_decoded_texts_are_the_same(golden: Path, name: str) -> None:
    tokenizer = BPETokenizer.load(golden / f"{name}.tokenizer.json")
    specials = {tokenizer.token_to_id("né")} if name == "llama3" else set()
    for ids, whole, plain in read(golden / f"{name}.cases.json")["decoded"]:
        if specials.intersection(ids):  # Hugging Face reads this added token as bytes of its alphabet and garbles it
            continue
        assert tokenizer.decode(ids) == whole
        assert tokenizer.decode(ids, skip_special_tokens=True) == plain


def test_added_token_outside_ascii_comes_back_as_it_was(golden: Path) -> None:
    tokenizer = BPETokenizer.load(golden / "llama3.tokenizer.json")
    assert tokenizer.decode([tokenizer.token_to_id("né")]) == "né"


def test_a_loaded_file_is_saved_byte_for_byte(golden: Path, name: str, tmp_path: Path) -> None:
    BPETokenizer.load(golden / f"{name}.tokenizer.json").save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (golden / f"{name}.tokenizer.json").read_bytes()


def test_training_writes_the_same_file_byte_for_byte(golden: Path, tmp_path: Path) -> None:
    trained = BPETokenizer.train(read(golden / "corpus.json"), vocab_size=400, special_tokens=SPECIAL)
    trained.save(tmp_path / "trained.json")
    assert (tmp_path / "trained.json").read_bytes() == (golden / "gpt2.tokenizer.json").read_bytes()


def test_training_with_a_pattern_and_a_frequency_learns_the_same_vocabulary(golden: Path) -> None:
    trained = BPETokenizer.train(read(golden / "corpus.json"), 380, SPECIAL, min_frequency=2, pattern=LLAMA3_PATTERN)
    expected = read(golden / "llama3.tokenizer.json")
    assert trained.vocab == expected["model"]["vocab"]
    assert trained.document["pre_tokenizer"] == expected["pre_tokenizer"]


def test_gpt2_pair_is_read_and_written_byte_for_byte(golden: Path, tmp_path: Path) -> None:
    tokenizer = BPETokenizer.load_gpt2(golden / "vocab.json", golden / "merges.txt")
    assert tokenizer.special_tokens == SPECIAL
    for text, ids in read(golden / "gpt2.cases.json")["encoded"]:
        assert tokenizer.encode(text) == ids
    tokenizer.save_gpt2(tmp_path)
    for name in ("vocab.json", "merges.txt"):
        assert (tmp_path / name).read_bytes() == (golden / name).read_bytes()


def test_old_files_with_merges_as_strings_read_the_same(golden: Path, tmp_path: Path) -> None:
    document = read(golden / "gpt2.tokenizer.json")
    document["model"]["merges"] = [" ".join(merge) for merge in document["model"]["merges"]]
    (tmp_path / "tokenizer.json").write_text(json.dumps(document), encoding="utf-8")
    BPETokenizer.load(tmp_path).save(tmp_path)  # a folder stands for its tokenizer.json
    assert (tmp_path / "tokenizer.json").read_bytes() == (golden / "gpt2.tokenizer.json").read_bytes()


@pytest.mark.parametrize("name", ["gpt2", "llama3"])
def test_normalizer_truncation_and_padding_give_the_same_ids(golden: Path, name: str) -> None:
    golden_cases = read(golden / "settings.cases.json")
    document, texts = read(golden / f"{name}.tokenizer.json"), golden_cases["texts"]
    assert len(golden_cases["cases"][name]) == 11
    for case in golden_cases["cases"][name]:
        tokenizer = BPETokenizer({**document, **case["settings"], "added_tokens": case["added"]})
        assert [tokenizer.encode(text) for text in texts] == case["single"], case["settings"]
        assert [tokenizer.encode(text, add_special_tokens=False) for text in texts] == case["plain"], case["settings"]
        assert tokenizer.encode_batch(texts) == case["batch"], case["settings"]


def test_character_classes_are_the_same(golden: Path) -> None:
    classes = read(golden / "classes.json")
    for pattern, table in {r"\p{L}": LETTERS, r"\p{N}": NUMBERS, r"\s": WHITE_SPACE}.items():
        assert [list(found) for found in ranges(table)] == classes[pattern]
