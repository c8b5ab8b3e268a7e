"""Learning merges: the most frequent pair of neighbours becomes a token, again and again (Sennrich et al. 2016)."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from heapq import heapify, heappop, heappush
from itertools import pairwise

from tinytorch.tokenizers.alphabet import BYTE_TO_CHAR

Pair = tuple[int, int]


def initial_vocab(special_tokens: Iterable[str]) -> dict[str, int]:
    """Special tokens first, then the 256 bytes in the order of their characters, as Hugging Face's trainer numbers."""
    return {token: index for index, token in enumerate((*special_tokens, *sorted(BYTE_TO_CHAR)))}


def merge_pair(word: list[int], pair: Pair, merged: int) -> tuple[list[int], list[tuple[Pair, int]]]:
    """Replace a pair in one word, left to right.

    Returns:
        The new word, and by how much each neighbouring pair became more or less frequent.

    >>> merge_pair([7, 1, 2], (1, 2), 9)
    ([7, 9], [((7, 1), -1), ((7, 9), 1)])
    """
    left, right = pair
    new: list[int] = []
    changes: list[tuple[Pair, int]] = []
    position, end = 0, len(word)
    while position < end:
        symbol = word[position]
        position += 1
        if symbol != left or position == end or word[position] != right:
            new.append(symbol)
            continue
        position += 1
        if new:
            changes += (((new[-1], left), -1), ((new[-1], merged), 1))
        if position < end:
            changes += (((right, word[position]), -1), ((merged, word[position]), 1))
        new.append(merged)
    return new, changes


def learn_merges(
    word_counts: Mapping[str, int], vocab: dict[str, int], vocab_size: int, min_frequency: int = 1
) -> list[tuple[str, str]]:
    """Learn merges from counted words until the vocabulary is full or no pair is frequent enough.

    Counts are kept up to date where a merge changed them, never recounted. Of equally frequent pairs the one with the
    smaller ids wins, so that the result depends on nothing but the counts.

    Args:
        word_counts: pre-tokenised word -> how often it occurs.
        vocab: spelled token -> id, ids 0 to n - 1; the learned tokens are added to it.
        vocab_size: the size at which `vocab` is full.
        min_frequency: rarer pairs are not merged.

    Returns:
        The pairs of spelled tokens, in the order they were learned.
    """
    tokens = list(vocab)
    reserved = set(tokens).difference(BYTE_TO_CHAR)
    byte_ids = [vocab[char] for char in BYTE_TO_CHAR]
    words = [[byte_ids[byte] for byte in word.encode()] for word in word_counts]
    weights = list(word_counts.values())

    counts: defaultdict[Pair, int] = defaultdict(int)
    where: defaultdict[Pair, set[int]] = defaultdict(set)
    for index, word in enumerate(words):
        for pair in pairwise(word):
            counts[pair] += weights[index]
            where[pair].add(index)

    heap = [(-counts[pair], pair, 0) for pair in where]  # the last entry makes every one comparable
    places = {(pair, 0): found for pair, found in where.items()}
    heapify(heap)
    merges: dict[Pair, None] = {}
    step = 0
    while len(tokens) < vocab_size and heap:
        negative, pair, born = heappop(heap)
        count = counts[pair]
        if count != -negative:  # merges of its neighbours made it rarer since
            heappush(heap, (-count, pair, born))
            continue
        if count < max(min_frequency, 1):
            break
        touched = places.pop((pair, born))
        token = tokens[pair[0]] + tokens[pair[1]]
        if token in reserved:  # ordinary text must never give a special token's id
            continue
        step += 1
        if token not in vocab:
            vocab[token] = len(tokens)
            tokens.append(token)
        merges.pop(pair, None)  # a pair that comes again counts from its later place
        merges[pair] = None

        grown: defaultdict[Pair, set[int]] = defaultdict(set)
        for index in touched:
            words[index], changes = merge_pair(words[index], pair, vocab[token])
            for changed, change in changes:
                counts[changed] += change * weights[index]
                if change > 0:
                    grown[changed].add(index)
        for changed, found in grown.items():
            if counts[changed] > 0:
                places[changed, step] = found
                heappush(heap, (-counts[changed], changed, step))
    return [(tokens[left], tokens[right]) for left, right in merges]
