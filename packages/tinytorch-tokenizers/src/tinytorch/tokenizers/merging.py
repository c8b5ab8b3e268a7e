"""Applying merges: from the bytes of one word to token ids (Sennrich et al. 2016, algorithm 1)."""

from collections.abc import Mapping, Sequence
from heapq import heapify, heappop, heappush
from itertools import pairwise

from tinytorch.tokenizers.alphabet import BYTE_TO_CHAR, spell

CACHED_WORDS = 1 << 16
CACHED_WORD_LENGTH = 64
SHORT_WORD = 20  # bytes; looking at all pairs after each merge is quadratic, but faster up to this length


class Merger:
    """Turns words into ids, the earliest learned merge first and the leftmost of equal ones.

    `vocab` maps spelled tokens to ids; `merges` are pairs of spelled tokens in the order they were learned. With
    `ignore_merges` a word that is a token itself becomes that token, whatever the merges would give (Llama 3). Raises
    ValueError when a merge names or makes a token that the vocabulary lacks.
    """

    def __init__(self, vocab: Mapping[str, int], merges: Sequence[tuple[str, str]], ignore_merges: bool) -> None:
        self._byte_ids = [vocab.get(char) for char in BYTE_TO_CHAR]
        self._whole = vocab if ignore_merges else {}
        self._ranks: dict[tuple[int, int], int] = {}
        self._made: list[int] = []  # rank -> the token that it makes
        for rank, (left, right) in enumerate(merges):
            for token in (left, right, left + right):
                if token not in vocab:
                    raise ValueError(f"merge {rank}, {left!r} + {right!r}: the vocabulary has no token {token!r}")
            self._ranks[vocab[left], vocab[right]] = rank
            self._made.append(vocab[left + right])
        self._cache: dict[str, tuple[int, ...]] = {}

    def ids(self, words: Sequence[str]) -> list[int]:
        """The ids of pre-tokenized words, one after another. Raises ValueError for a byte that no token spells."""
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
        return tuple(self._merge_short(ids) if len(ids) <= SHORT_WORD else self._merge_long(ids))

    def _byte_id(self, byte: int) -> int:
        found = self._byte_ids[byte]
        if found is None:
            raise ValueError(
                f"encode: no token of this vocabulary spells the byte 0x{byte:02x}\nTrain one with all bytes"
            )
        return found

    def _merge_short(self, ids: list[int]) -> list[int]:
        """Merge as it is defined: again and again the pair of the lowest rank, the leftmost of equal ones."""
        none = len(self._made)
        get = self._ranks.get
        ranks = [get(pair, none) for pair in pairwise(ids)]
        while ranks and (rank := min(ranks)) < none:
            position = ranks.index(rank)
            ids[position : position + 2] = [merged] = [self._made[rank]]
            del ranks[position]
            if position > 0:
                ranks[position - 1] = get((ids[position - 1], merged), none)
            if position < len(ranks):
                ranks[position] = get((merged, ids[position + 1]), none)
        return ids

    def _merge_long(self, ids: list[int]) -> list[int]:
        """The same rank by rank, all places of one rank in a pass over a linked list: linear."""
        get, made, end = self._ranks.get, self._made, len(ids)
        after = [*range(1, end), -1]
        before = [*range(-1, end - 1)]
        places: dict[int, list[int]] = {}  # rank -> where it may be merged
        for position, pair in enumerate(pairwise(ids)):
            if (rank := get(pair)) is not None:
                if rank in places:
                    places[rank].append(position)
                else:
                    places[rank] = [position]
        heap = [*places]
        heapify(heap)
        while heap:
            rank = heappop(heap)
            positions = places.pop(rank)  # from left to right, as equal tokens are made
            for number, position in enumerate(positions, start=1):
                right = after[position]
                if right < 0 or get((ids[position], ids[right])) != rank:  # one of the two has merged otherwise
                    continue
                ids[position], ids[right] = made[rank], -1
                after[position] = right = after[right]
                if right >= 0:
                    before[right] = position
                for left in (before[position], position):
                    if left >= 0 and after[left] >= 0 and (new := get((ids[left], ids[after[left]]))) is not None:
                        if new in places:
                            places[new].append(left)
                        else:
                            places[new] = [left]
                            heappush(heap, new)
                if heap and heap[0] < rank and number < len(positions):  # a merge of a lower rank goes first
                    places[rank] = positions[number:]
                    heappush(heap, rank)
                    break
        return [token for token in ids if token >= 0]
