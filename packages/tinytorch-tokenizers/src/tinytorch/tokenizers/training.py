"""Learning merges: the most frequent pair of neighbors becomes a token, again and again (Sennrich et al. 2016)."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from heapq import heappop, heappush
from itertools import pairwise

from tinytorch.tokenizers.alphabet import BYTE_TO_CHAR

Pair = tuple[int, int]


def initial_vocab(special_tokens: Iterable[str]) -> dict[str, int]:
    """Special tokens first, then the 256 bytes in the order of their characters, as Hugging Face's trainer numbers."""
    return {token: index for index, token in enumerate((*special_tokens, *sorted(BYTE_TO_CHAR)))}


class PairCounts:
    """How often each pair of neighbors occurs in numbered words, kept up to date instead of counted again.

    >>> counts = PairCounts()
    >>> counts.add([(1, 2), (2, 3)], 5, word=0)
    >>> counts.remove([(1, 2)], 1)
    >>> counts.best()
    ((2, 3), {0})
    """

    def __init__(self) -> None:
        self._counts: defaultdict[Pair, int] = defaultdict(int)
        self._added: defaultdict[Pair, set[int]] = defaultdict(set)  # pair -> the words that got it since `best`
        self._words: dict[tuple[Pair, int], set[int]] = {}  # (pair, the call of `best` before which it was added)
        self._heap: list[tuple[int, Pair, int]] = []  # (-count, pair, that call); counts that fell since are corrected
        self._calls = 0

    def add(self, pairs: Iterable[Pair], times: int, word: int) -> None:
        """Each of `pairs` occurs `times` more often, in the word of this number."""
        counts, added = self._counts, self._added
        for pair in pairs:
            counts[pair] += times
            added[pair].add(word)

    def remove(self, pairs: Iterable[Pair], times: int) -> None:
        """Each of `pairs` occurs `times` less often."""
        counts = self._counts
        for pair in pairs:
            counts[pair] -= times

    def best(self, min_frequency: int = 1) -> tuple[Pair, set[int]] | None:
        """Take out the most frequent pair and the words that got it; None when no pair is frequent enough.

        Of equally frequent pairs the one with the smaller ids wins, so that the result depends on the counts alone.
        """
        counts, heap = self._counts, self._heap
        for pair, words in self._added.items():
            self._words[pair, self._calls] = words
            heappush(heap, (-counts[pair], pair, self._calls))
        self._added.clear()
        self._calls += 1
        while heap:
            negative, pair, call = heappop(heap)
            if counts[pair] != -negative:
                heappush(heap, (-counts[pair], pair, call))
            elif counts[pair] < min_frequency:
                return None
            else:
                return pair, self._words.pop((pair, call))
        return None


def merge_pair(word: list[int], pair: Pair, merged: int) -> tuple[list[int], list[Pair], list[Pair]]:
    """Replace a pair in one word, left to right: the new word, the neighboring pairs that it lost, and those it gained.

    >>> merge_pair([7, 1, 2], (1, 2), 9)
    ([7, 9], [(7, 1)], [(7, 9)])
    """
    left, right = pair
    new: list[int] = []
    lost: list[Pair] = []
    gained: list[Pair] = []
    position, end = 0, len(word)
    while position < end:
        symbol = word[position]
        position += 1
        if symbol != left or position == end or word[position] != right:
            new.append(symbol)
            continue
        position += 1
        if new:
            lost.append((new[-1], left))
            gained.append((new[-1], merged))
        if position < end:
            lost.append((right, word[position]))
            gained.append((merged, word[position]))
        new.append(merged)
    return new, lost, gained


def learn_merges(
    word_counts: Mapping[str, int], vocab: dict[str, int], vocab_size: int, min_frequency: int = 1
) -> list[tuple[str, str]]:
    """Learn merges from counted words: the pairs of spelled tokens, in the order they were learned.

    `word_counts` says how often each pre-tokenized word occurs. `vocab` maps spelled tokens to ids 0 to n - 1; the
    learned tokens are added to it until it has `vocab_size`, or no pair occurs `min_frequency` times.
    """
    tokens = list(vocab)
    reserved = set(tokens).difference(BYTE_TO_CHAR)
    byte_ids = [vocab[char] for char in BYTE_TO_CHAR]
    words = [[byte_ids[byte] for byte in word.encode()] for word in word_counts]
    weights = list(word_counts.values())
    counts = PairCounts()
    for number, word in enumerate(words):
        counts.add(pairwise(word), weights[number], number)

    merges: dict[Pair, None] = {}
    while len(tokens) < vocab_size and (best := counts.best(min_frequency)):
        pair, places = best
        token = tokens[pair[0]] + tokens[pair[1]]
        if token in reserved:  # ordinary text must never give a special token's id
            continue
        if token not in vocab:
            vocab[token] = len(tokens)
            tokens.append(token)
        merges.pop(pair, None)  # a pair that comes again counts from its later place
        merges[pair] = None
        for number in places:
            words[number], lost, gained = merge_pair(words[number], pair, vocab[token])
            counts.remove(lost, weights[number])
            counts.add(gained, weights[number], number)
    return [(tokens[left], tokens[right]) for left, right in merges]
