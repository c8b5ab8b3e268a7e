"""Applying merges: from the bytes of one word to token ids (Sennrich et al. 2016, algorithm 1)."""

from collections.abc import Mapping, Sequence
from heapq import heapify, heappop, heappush
from itertools import pairwise

from tinytorch.tokenizers.alphabet import BYTE_TO_CHAR, spell

CACHED_WORDS = 1 << 16
CACHED_WORD_LENGTH = 64


class Merger:
    """Turns words into ids, the earliest learned merge first and the leftmost of equal ones.

    Args:
        vocab: spelled token -> id.
        merges: pairs of spelled tokens in the order they were learned.
        ignore_merges: a word that is a token itself becomes that token, whatever the merges would give (Llama 3).

    Raises:
        ValueError: when a merge names or makes a token that the vocabulary lacks.
    """

    def __init__(
        self, vocab: Mapping[str, int], merges: Sequence[tuple[str, str]], ignore_merges: bool = False
    ) -> None:
        self._byte_ids = [vocab.get(char) for char in BYTE_TO_CHAR]
        self._whole = vocab if ignore_merges else {}
        self._merges: dict[tuple[int, int], tuple[int, int]] = {}  # (left, right) -> (rank, merged)
        for rank, (left, right) in enumerate(merges):
            for token in (left, right, left + right):
                if token not in vocab:
                    raise ValueError(f"merge {rank}, {left!r} + {right!r}: the vocabulary has no token {token!r}")
            self._merges[vocab[left], vocab[right]] = rank, vocab[left + right]
        self._cache: dict[str, tuple[int, ...]] = {}

    def ids(self, words: Sequence[str]) -> list[int]:
        """The ids of pre-tokenised words, one after another.

        Raises:
            ValueError: for a byte that no token spells.
        """
        cache, ids = self._cache, list[int]()
        for word in words:
            found = cache.get(word)
            if found is None:
                found = self._word(word.encode())
                if len(word) <= CACHED_WORD_LENGTH:
                    if len(cache) >= CACHED_WORDS:
                        cache.clear()
                    cache[word] = found
            ids += found
        return ids

    def _word(self, data: bytes) -> tuple[int, ...]:
        if self._whole and (whole := self._whole.get(spell(data))) is not None:
            return (whole,)
        ids = [self._byte_id(byte) for byte in data]
        return tuple(self._merge(ids)) if len(ids) > 1 else tuple(ids)

    def _byte_id(self, byte: int) -> int:
        found = self._byte_ids[byte]
        if found is None:
            raise ValueError(
                f"encode: no token of this vocabulary spells the byte 0x{byte:02x}\nTrain one with all bytes"
            )
        return found

    def _merge(self, ids: list[int]) -> list[int]:
        """Merge in O(n log n): a heap of candidates over a doubly linked list."""
        merges, end = self._merges, len(ids)
        after = [*range(1, end), -1]
        before = [*range(-1, end - 1)]
        heap = [
            (*found, position) for position, pair in enumerate(pairwise(ids)) if (found := merges.get(pair)) is not None
        ]
        heapify(heap)
        while heap:
            _, merged, position = heappop(heap)
            right = after[position]
            if right < 0 or ids[position] < 0:
                continue
            # A candidate is stale once its symbols have merged otherwise; Hugging Face compares what it would make.
            found = merges.get((ids[position], ids[right]))
            if found is None or found[1] != merged:
                continue
            ids[position], ids[right] = merged, -1
            after[position] = after[right]
            if after[position] >= 0:
                before[after[position]] = position
                if found := merges.get((merged, ids[after[position]])):
                    heappush(heap, (*found, position))
            if (left := before[position]) >= 0 and (found := merges.get((ids[left], merged))):
                heappush(heap, (*found, left))
        return [token for token in ids if token >= 0]
