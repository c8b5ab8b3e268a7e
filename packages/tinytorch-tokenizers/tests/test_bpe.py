import copy
import pickle
import random
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinytorch.tokenizers import LLAMA3_PATTERN, BPETokenizer
from tinytorch.tokenizers.alphabet import BYTE_TO_CHAR, spell, unspell
from tinytorch.tokenizers.merging import CACHED_WORD_LENGTH, Merger
from tinytorch.tokenizers.training import initial_vocab

TALK = [
    "<bos>hello there<sep>hi, how are you?<eos>",
    "<bos>how are you?<sep>I am well, thank you.<eos>",
    "<bos>what is the sky like?<sep>The sky is blue today.<eos>",
]
SPECIAL = ["<bos>", "<sep>", "<eos>", "<pad>"]
# Any character but surrogates, and more of what patterns and special tokens treat apart.
TEXTS = st.lists(
    st.one_of(
        st.text(),
        st.sampled_from(["<eos>", "<bos>", "<", "'s", "'LL", "  ", "\r\n", "\u0301", "👩\u200d🚀", "é", "猫"]),
    )
).map("".join)


@pytest.fixture(scope="module")
def talk() -> BPETokenizer:
    return BPETokenizer.train(TALK, vocab_size=300, special_tokens=SPECIAL)


@given(text=TEXTS)
def test_any_text_survives_the_round_trip(talk: BPETokenizer, text: str) -> None:
    assert talk.decode(talk.encode(text)) == text
    assert talk.decode(talk.encode(text, allowed_special=())) == text


@given(text=TEXTS)
def test_any_text_survives_llama3s_pattern(text: str) -> None:
    assert LLAMA3.decode(LLAMA3.encode(text)) == text


LLAMA3 = BPETokenizer.train(TALK, 300, SPECIAL, pattern=LLAMA3_PATTERN)


@given(texts=st.lists(TEXTS, max_size=4))
def test_batch_matches_single(talk: BPETokenizer, texts: list[str]) -> None:
    batch = talk.encode_batch(texts)
    assert batch == [talk.encode(text) for text in texts]
    assert talk.decode_batch(batch) == texts


@given(text=TEXTS)
def test_special_ids_come_only_from_allowed_special_tokens(talk: BPETokenizer, text: str) -> None:
    specials = {talk.token_to_id(token) for token in SPECIAL}
    assert not specials.intersection(talk.encode(text, allowed_special=()))
    assert specials.intersection(talk.encode(text, allowed_special={"<eos>"})) <= {talk.token_to_id("<eos>")}
    assert talk.encode(text).count(talk.token_to_id("<eos>")) == text.count("<eos>")


def test_special_tokens_have_the_first_ids_and_can_be_skipped(talk: BPETokenizer) -> None:
    assert [talk.token_to_id(token) for token in SPECIAL] == [0, 1, 2, 3]
    assert talk.special_tokens == SPECIAL
    ids = talk.encode(TALK[0])
    assert (ids[0], ids[-1]) == (0, 2)
    assert talk.decode(ids) == TALK[0]
    assert talk.decode(ids, skip_special_tokens=True) == "hello therehi, how are you?"


def test_the_longest_special_token_at_a_place_wins() -> None:
    tokenizer = BPETokenizer.train([], 260, ["<a", "<a>", "<a><b>"])
    assert tokenizer.encode("<a><b><a><a") == [2, 1, 0]


def test_tokens_and_ids_are_inverse(talk: BPETokenizer) -> None:
    assert talk.vocab_size == 300 == len(talk.vocab)
    for token, index in talk.vocab.items():
        assert talk.token_to_id(token) == index
        assert talk.id_to_token(index) == token


def test_ids_may_be_integers_of_any_kind(talk: BPETokenizer) -> None:
    ids = talk.encode("hello there")
    assert talk.decode(array("q", ids)) == talk.decode(tuple(ids)) == talk.decode(iter(ids)) == "hello there"


def test_merging_matches_the_definition_on_random_merges() -> None:
    """The heap gives what replacing the earliest merge, leftmost first, gives."""
    draw = random.Random(0)
    for _ in range(30):
        vocab = initial_vocab([])
        tokens = list("abc")
        merges: list[tuple[str, str]] = []
        while len(merges) < 12:
            pair = (draw.choice(tokens), draw.choice(tokens))
            if pair not in merges:
                merges.append(pair)
                tokens.append("".join(pair))
                vocab.setdefault("".join(pair), len(vocab))
        merger = Merger(vocab, merges, ignore_merges=False)
        for length in (1, 2, 5, 40, CACHED_WORD_LENGTH + 1):
            word = "".join(draw.choices("abc", k=length))
            assert merger.ids([word]) == [vocab[token] for token in naive(list(word), merges)], (word, merges)


def test_long_words_merge_as_the_definition_says_whatever_the_order_of_merges() -> None:
    """Merges in any order: one that ranks lower may become possible in the middle of a pass."""
    draw = random.Random(1)
    for _ in range(300):
        vocab = initial_vocab([])
        tokens = [*"abc"]
        merges: set[tuple[str, str]] = set()
        for _ in range(draw.randrange(1, 20)):
            pair = (draw.choice(tokens), draw.choice(tokens))
            merges.add(pair)
            if "".join(pair) not in vocab:
                vocab["".join(pair)] = len(vocab)
                tokens.append("".join(pair))
        merger = Merger(vocab, draw.sample(sorted(merges), len(merges)), ignore_merges=False)
        for _ in range(5):
            ids = [vocab[letter] for letter in draw.choices("abc", k=draw.randrange(1, 50))]
            assert merger._merge_long([*ids]) == merger._merge_short([*ids])


def naive(symbols: list[str], merges: list[tuple[str, str]]) -> list[str]:
    """Sennrich's loop, with Hugging Face's queue kept as a plain list of (rank, place) candidates."""
    ranks = {pair: rank for rank, pair in enumerate(merges)}
    cells: list[str | None] = [*symbols]

    def following(place: int) -> int | None:
        return next((index for index in range(place + 1, len(cells)) if cells[index] is not None), None)

    def candidate(place: int) -> tuple[int, int, str] | None:
        left, right = cells[place], following(place)
        pair = (left or "", (cells[right] or "") if right is not None else "")
        return (ranks[pair], place, "".join(pair)) if pair in ranks else None

    queue = [found for place in range(len(cells)) if (found := candidate(place))]
    while queue:
        queue.sort()
        _, place, made = queue.pop(0)
        right = following(place)
        if cells[place] is None or right is None or f"{cells[place]}{cells[right]}" != made:
            continue
        if (cells[place], cells[right]) not in ranks:
            continue
        cells[place], cells[right] = made, None
        left = next((index for index in range(place - 1, -1, -1) if cells[index] is not None), None)
        queue += [found for near in (left, place) if near is not None and (found := candidate(near))]
    return [cell for cell in cells if cell is not None]


def test_the_cache_changes_nothing_and_stays_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinytorch.tokenizers.merging.CACHED_WORDS", 3)
    tokenizer = BPETokenizer.train(TALK, 300, SPECIAL)
    text = "how are you today, what is the sky like? " * 3
    assert tokenizer.encode(text) == tokenizer.encode(text)
    assert len(tokenizer._merger._cache) <= 3


def test_a_very_long_word_is_not_quadratic(talk: BPETokenizer) -> None:
    text = "hell" * 50_000
    assert talk.decode(talk.encode(text)) == text


def test_tokenizers_can_be_copied_and_pickled(talk: BPETokenizer) -> None:
    ids = talk.encode(TALK[1])
    assert copy.deepcopy(talk).encode(TALK[1]) == pickle.loads(pickle.dumps(talk)).encode(TALK[1]) == ids


@given(data=st.binary())
def test_spelling_is_reversible(data: bytes) -> None:
    assert unspell(spell(data)) == data


def test_the_alphabet_is_gpt2s() -> None:
    assert len(set(BYTE_TO_CHAR)) == 256
    assert spell(b"A !\x00\n\x7f\xa0\xad\xff") == "AĠ!ĀĊġłŃÿ"


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda t: t.encode("a\ud800b"), ValueError, "lone surrogate U\\+D800 at 1"),
        (lambda t: t.encode(b"bytes"), TypeError, "got bytes; a text is a str"),
        (lambda t: t.encode(["a"]), TypeError, "got list"),
        (lambda t: t.encode_batch("abc"), TypeError, "got one str; pass a list"),
        (lambda t: t.encode("a", allowed_special={"<nope>"}), ValueError, "'<nope>' is not one of"),
        (lambda t: t.encode("a", allowed_special="<eos>"), ValueError, "pass 'all' or a set"),
        (lambda t: t.decode([300]), ValueError, "300 is not an id of this tokenizer; its ids go from 0 to 299"),
        (lambda t: t.decode([-1]), ValueError, "-1 is not an id"),
        (lambda t: t.decode([1.0]), TypeError, "got float; an id is one integer"),
        (lambda t: t.decode([[1, 2]]), TypeError, "got list; an id is one integer"),
        (lambda t: t.decode(7), TypeError, "got int; pass a flat sequence"),
        (lambda t: t.decode("12"), TypeError, "got str; an id is one integer"),
        (lambda t: t.token_to_id("<nope>"), ValueError, "'<nope>' is not a token.*special tokens: <bos>"),
        (lambda t: t.id_to_token(300), ValueError, "300 is not an id"),
    ],
)
def test_bad_input_is_refused(talk: BPETokenizer, call, error: type[Exception], message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(error, match=message):
        call(talk)
