import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinytorch.tokenizers import BPETokenizer, CharTokenizer

IDS = st.lists(st.integers(0, 399), max_size=40)


class Scalar:
    """What a 0-d array looks like: iterable by its type, an integer by its value."""

    ndim = 0

    def __init__(self, value: int) -> None:
        self.value = value

    def __iter__(self) -> None:
        raise TypeError("iteration over a 0-d array")

    def __index__(self) -> int:
        return self.value


@given(text=st.text())
def test_streamed_text_never_shows_half_a_character(tokenizer: BPETokenizer, text: str) -> None:
    decoder = tokenizer.stream_decoder()
    shown = ""
    for index in tokenizer.encode(text, allowed_special=()):
        shown += decoder.feed(index)
        assert text.startswith(shown)
    assert shown == text
    assert decoder.finish() == ""


@given(ids=IDS, skip=st.booleans())
def test_streaming_any_ids_matches_decoding_them_at_once(tokenizer: BPETokenizer, ids: list[int], skip: bool) -> None:
    decoder = tokenizer.stream_decoder(skip_special_tokens=skip)
    streamed = "".join(map(decoder.feed, ids)) + decoder.finish()
    assert streamed == tokenizer.decode(ids, skip_special_tokens=skip)


@given(ids=IDS, cut=st.integers(0, 40))
def test_feeding_several_ids_matches_feeding_one_by_one(tokenizer: BPETokenizer, ids: list[int], cut: int) -> None:
    decoder = tokenizer.stream_decoder()
    assert decoder.feed(ids[:cut]) + decoder.feed(ids[cut:]) + decoder.finish() == tokenizer.decode(ids)


def test_a_character_appears_with_its_last_byte(tokenizer: BPETokenizer) -> None:
    decoder = tokenizer.stream_decoder()
    byte_ids = [tokenizer.token_to_id(token) for token in "âĤ¬"]  # the three bytes of the euro sign
    assert [decoder.feed(index) for index in byte_ids] == ["", "", "€"]


def test_finish_shows_what_was_cut_off_and_starts_over(tokenizer: BPETokenizer) -> None:
    decoder = tokenizer.stream_decoder()
    assert decoder.feed(tokenizer.token_to_id("â")) == ""
    assert decoder.finish() == "\ufffd"
    assert decoder.feed(tokenizer.encode("ok")) == "ok"


def test_zero_dimensional_arrays_are_single_ids(tokenizer: BPETokenizer) -> None:
    assert tokenizer.stream_decoder().feed(Scalar(tokenizer.token_to_id("a"))) == "a"


def test_a_bad_id_takes_nothing(tokenizer: BPETokenizer) -> None:
    decoder = tokenizer.stream_decoder()
    with pytest.raises(ValueError, match="10000 is not an id"):
        decoder.feed([tokenizer.token_to_id("a"), 10_000])
    assert decoder.feed(tokenizer.token_to_id("b")) == "b"


def test_characters_stream_too() -> None:
    tokenizer = CharTokenizer("aé猫")
    decoder = tokenizer.stream_decoder()
    assert [decoder.feed(index) for index in tokenizer.encode("猫aé")] == ["猫", "a", "é"]
