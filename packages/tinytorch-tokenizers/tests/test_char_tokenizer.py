import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinytorch.tokenizers import CharTokenizer


@given(text=st.text())
def test_any_text_survives_the_round_trip(text: str) -> None:
    tokenizer = CharTokenizer().build_vocab([text])
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert len(tokenizer.encode(text)) == len(text)
    assert tokenizer.vocab_size == len(set(text))


@given(text=st.text(), characters=st.text(), specials=st.sets(st.sampled_from(["<eos>", "<eos", "é!", "\n\n"])))
def test_a_saved_tokenizer_is_the_same(
    tmp_path_factory: pytest.TempPathFactory, text: str, characters: str, specials: set[str]
) -> None:
    tokenizer = CharTokenizer(characters, unknown="<unk>", special_tokens=sorted(specials))
    path = tmp_path_factory.mktemp("char") / "char.json"
    tokenizer.save(path)
    loaded = CharTokenizer.load(path)
    assert loaded.vocab == tokenizer.vocab
    assert loaded.special_tokens == tokenizer.special_tokens
    assert loaded.encode(text) == tokenizer.encode(text)


def test_ids_follow_code_points_after_the_special_tokens() -> None:
    tokenizer = CharTokenizer(unknown="<unk>", special_tokens=["<eos>"]).build_vocab(["cab", "bad<eos>"])
    assert tokenizer.vocab == {"<unk>": 0, "<eos>": 1, "a": 2, "b": 3, "c": 4, "d": 5}
    assert tokenizer.encode("dab<eos>") == [5, 2, 3, 1]
    assert tokenizer.decode([5, 2, 3, 1], skip_special_tokens=True) == "dab"


def test_disallowed_special_tokens_are_read_character_by_character() -> None:
    tokenizer = CharTokenizer("<eos>", special_tokens=["<eos>"])
    assert tokenizer.encode("<eos>") == [0]
    assert 0 not in tokenizer.encode("<eos>", allowed_special=())
    assert tokenizer.decode(tokenizer.encode("<eos>", allowed_special=())) == "<eos>"


def test_unknown_characters_are_an_error_or_the_unknown_token() -> None:
    with pytest.raises(ValueError, match=r"'z' \(U\+007A\) is not among the 2 tokens"):
        CharTokenizer("ab").encode("abz")
    tokenizer = CharTokenizer("ab", unknown="?")
    assert tokenizer.encode("abz") == [1, 2, 0]
    assert tokenizer.decode([1, 2, 0]) == "ab?"


def test_building_again_replaces_the_characters_and_keeps_the_special_tokens() -> None:
    tokenizer = CharTokenizer("xyz", special_tokens=["<eos>"])
    assert tokenizer.build_vocab(["ab"]).vocab == {"<eos>": 0, "a": 1, "b": 2}


def test_batches_match_single_texts() -> None:
    tokenizer = CharTokenizer("abc")
    assert tokenizer.encode_batch(["ab", "", "c"]) == [[0, 1], [], [2]]
    assert tokenizer.decode_batch([[0, 1], [], [2]]) == ["ab", "", "c"]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: CharTokenizer(["ab"]), ValueError, "'ab' is not one character"),
        (lambda: CharTokenizer(unknown="<u>", special_tokens=["<u>"]), ValueError, "repeat a token"),
        (lambda: CharTokenizer(special_tokens=[""]), ValueError, "hold an empty one"),
        (lambda: CharTokenizer().build_vocab("text"), TypeError, "got one str"),
        (lambda: CharTokenizer().build_vocab(["\ud800"]), ValueError, "lone surrogate"),
        (lambda: CharTokenizer("a", unknown="?").encode("\udfff"), ValueError, "lone surrogate"),
        (lambda: CharTokenizer("a").decode([1]), ValueError, "1 is not an id"),
    ],
)
def test_bad_input_is_refused(call, error: type[Exception], message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize(
    "content",
    [
        [],
        {},
        {"format": "tinytorch.CharTokenizer", "version": 2},
        {"format": "tinytorch.CharTokenizer", "version": 1, "special_tokens": [], "characters": 3},
        {"format": "tinytorch.CharTokenizer", "version": 1, "special_tokens": [1], "characters": "a"},
        {"format": "tinytorch.CharTokenizer", "version": 1, "special_tokens": [], "characters": "a", "unknown": 1},
        {"format": "tinytorch.CharTokenizer", "version": 1, "special_tokens": ["x", "x"], "characters": "a"},
    ],
)
def test_foreign_files_are_refused_by_name(content: object, tmp_path: Path) -> None:
    path = tmp_path / "char.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ValueError, match=r"char\.json"):
        CharTokenizer.load(path)
