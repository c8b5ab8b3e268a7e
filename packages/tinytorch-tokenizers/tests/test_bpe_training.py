import random
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinytorch.tokenizers import BPETokenizer
from tinytorch.tokenizers.alphabet import spell
from tinytorch.tokenizers.patterns import GPT2_PATTERN, split
from tinytorch.tokenizers.training import initial_vocab, learn_merges


def recount(word_counts: dict[str, int], vocab_size: int) -> list[tuple[str, str]]:
    """Training as it is defined: count all pairs again for each merge."""
    vocab = initial_vocab([])
    words = {word: list(spell(word.encode())) for word in word_counts}
    merges = []
    while len(vocab) < vocab_size:
        counts: Counter[tuple[str, str]] = Counter()
        for word, symbols in words.items():
            for pair in pairwise(symbols):
                counts[pair] += word_counts[word]
        if not counts:
            break
        best = min(counts, key=lambda pair: (-counts[pair], vocab[pair[0]], vocab[pair[1]]))
        merges.append(best)
        vocab["".join(best)] = len(vocab)
        for symbols in words.values():
            position = 0
            while position < len(symbols) - 1:
                if (symbols[position], symbols[position + 1]) == best:
                    symbols[position : position + 2] = ["".join(best)]
                position += 1
    return merges


def test_incremental_counts_match_recounting() -> None:
    draw = random.Random(3)
    for _ in range(20):
        # Distinct letters in a word: no pair overlaps itself, so that both ways of counting agree to the last merge.
        counts = {"".join(draw.sample("abcdefg", draw.randrange(1, 7))): draw.randrange(1, 9) for _ in range(12)}
        merges = learn_merges(counts, initial_vocab([]), 280)
        expected = recount(counts, 280)
        assert merges[: len(expected)] == expected[: len(merges)]
        assert len(merges) == len(expected)


def test_the_same_texts_give_the_same_tokenizer_in_any_order() -> None:
    texts = ["low lower lowest", "new newer newest", "wide wider widest"]
    first = BPETokenizer.train(texts, 290)
    assert BPETokenizer.train(reversed(texts), 290).vocab == first.vocab == BPETokenizer.train(iter(texts), 290).vocab


def test_equally_frequent_pairs_go_by_their_ids() -> None:
    vocab = BPETokenizer.train(["dc", "ba", "cd", "ab"], 260).vocab
    assert [token for token, index in vocab.items() if index >= 256] == ["ab", "ba", "cd", "dc"]


def test_spaces_are_learned() -> None:
    assert "Ġthe" in BPETokenizer.train(["and the cat and the dog"] * 3, 270).vocab


def test_merges_stay_within_words() -> None:
    texts = ["one two, three's 44 \n five"] * 4
    words = {spell(word.encode()) for word in split(texts[0], GPT2_PATTERN)}
    for token, index in BPETokenizer.train(texts, 300).vocab.items():
        assert index < 256 or any(token in word for word in words)


def test_min_frequency_stops_early() -> None:
    assert BPETokenizer.train(["abab cd"], 300, min_frequency=2).vocab_size == 257
    assert BPETokenizer.train(["abab cd"], 300, min_frequency=3).vocab_size == 256


def test_too_few_pairs_give_a_smaller_vocabulary() -> None:
    assert BPETokenizer.train(["ab"], 300).vocab_size == 257
    assert BPETokenizer.train([], 300).vocab_size == 256


@given(specials=st.lists(st.sampled_from(["ab", "abc", "hello", "<|x|>", " the", "\n"]), unique=True))
def test_no_merge_makes_a_special_token(specials: list[str]) -> None:
    text = "hello abc ab the abcab"
    tokenizer = BPETokenizer.train([text] * 5, 300, specials)
    assert min([*tokenizer.encode(text, allowed_special=()), 1000]) >= len(specials)
    assert tokenizer.decode(tokenizer.encode(text)) == text


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"texts": "one text"}, TypeError, "got one str; pass a list of texts"),
        ({"texts": [b"bytes"]}, TypeError, "got bytes"),
        ({"texts": ["\udc80"]}, ValueError, "lone surrogate U\\+DC80 at 0"),
        ({"vocab_size": 257}, ValueError, "got 257; 256 bytes and 2 special tokens need at least 258"),
        ({"special_tokens": "<eos>"}, TypeError, "got one str"),
        ({"special_tokens": ["<a>", "<a>"]}, ValueError, "'<a>' is empty, repeated"),
        ({"special_tokens": [""]}, ValueError, "'' is empty"),
        ({"special_tokens": ["!"]}, ValueError, "'!' is empty, repeated or the character of a byte"),
        ({"min_frequency": 0}, ValueError, "got 0; a pair must occur at least once"),
        ({"pattern": r"\p{Greek}+"}, ValueError, "is not supported"),
        ({"pattern": "(a"}, ValueError, "is not a regular expression"),
    ],
)
def test_bad_arguments_are_refused(arguments: dict[str, object], error: type[Exception], message: str) -> None:
    good: dict[str, object] = {"texts": ["text"], "vocab_size": 300, "special_tokens": ["<a>", "<b>"]}
    with pytest.raises(error, match=message):
        BPETokenizer.train(**{**good, **arguments})  # type: ignore[arg-type]
