"""Decoding while ids arrive."""

import codecs
from collections.abc import Callable, Iterable
from typing import SupportsIndex, cast


class StreamDecoder:
    """Turns ids into text as they come and holds back the bytes of a character that is not complete yet.

    What `feed` and `finish` return, joined, is what `decode` returns for all ids together. A tokenizer's
    `stream_decoder()` makes one; `piece` gives the bytes of one id.
    """

    def __init__(self, piece: Callable[[SupportsIndex], bytes]) -> None:
        self._piece = piece
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, ids: SupportsIndex | Iterable[SupportsIndex]) -> str:
        """Take one id or several; return the characters that are complete now, possibly none.

        Raises ValueError for an id outside the vocabulary; nothing of this call is taken then.
        """
        several = isinstance(ids, Iterable) and getattr(ids, "ndim", 1) > 0  # a 0-d array has __iter__ too
        data = b"".join(map(self._piece, cast(Iterable[SupportsIndex], ids if several else (ids,))))
        return self._utf8.decode(data)

    def finish(self) -> str:
        """End the stream: bytes still held back come out as U+FFFD, and the next `feed` starts a new stream."""
        rest = self._utf8.decode(b"", final=True)
        self._utf8.reset()
        return rest
