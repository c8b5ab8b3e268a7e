"""What every tokenizer offers, whatever its tokens are."""

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping
from operator import index as as_index
from typing import Literal, Self, SupportsIndex

from tinytorch.tokenizers.streaming import StreamDecoder

AllowedSpecial = Literal["all"] | Collection[str]


def check_text(text: str, caller: str) -> str:
    """Return a text that UTF-8 can write. Raises TypeError for anything but a str, ValueError for a lone surrogate."""
    if not isinstance(text, str):
        raise TypeError(f"{caller}: got {type(text).__name__}; a text is a str")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ValueError(
                f"{caller}: lone surrogate U+{ord(text[error.start]):04X} at {error.start} is not a character\n"
                "Where bytes were decoded with errors='surrogateescape', decode them with errors='replace'"
            ) from error
    return text


def check_texts(texts: Iterable[str], caller: str) -> Iterator[str]:
    """Check texts one by one as they are asked for.

    Raises TypeError for a single str (an iterable of its characters) and for anything but strings, ValueError for a
    lone surrogate.
    """
    if isinstance(texts, str):
        raise TypeError(f"{caller}: got one str; pass a list of texts")
    return (check_text(text, caller) for text in texts)


def literals(contents: Iterable[str]) -> re.Pattern[str] | None:
    """A pattern that captures any of these strings, the longest first; None for no strings."""
    ordered = sorted(contents, key=len, reverse=True)
    return re.compile(f"({'|'.join(map(re.escape, ordered))})") if ordered else None


class Tokenizer(ABC):
    """Texts to ids and back; the two tokenizers of this stage share everything but how a text is cut.

    `vocab` maps tokens to ids, `pieces` maps ids to the bytes they decode to; `special_tokens` are the tokens that mean
    something instead of spelling it.
    """

    def __init__(self, vocab: Mapping[str, int], pieces: Mapping[int, bytes], special_tokens: Iterable[str]) -> None:
        self._vocab = dict(vocab)
        self._tokens = {index: token for token, index in vocab.items()}
        self._pieces = dict(pieces)
        self._special = {token: vocab[token] for token in special_tokens}
        self._special_ids = frozenset(self._special.values())

    @abstractmethod
    def encode(self, text: str, *, allowed_special: AllowedSpecial = "all") -> list[int]:
        """The ids of a text."""

    @abstractmethod
    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the tokenizer atomically."""

    @classmethod
    @abstractmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read what `save` wrote."""

    @property
    def vocab_size(self) -> int:
        """One more than the largest id: the rows that an embedding needs."""
        return max(self._tokens, default=-1) + 1

    @property
    def vocab(self) -> dict[str, int]:
        """Every token and its id, as a new dict."""
        return dict(self._vocab)

    @property
    def special_tokens(self) -> list[str]:
        """The special tokens in the order of their ids."""
        return sorted(self._special, key=self._special.__getitem__)

    def token_to_id(self, token: str) -> int:
        """The id of a token. Raises ValueError when the vocabulary has no such token."""
        try:
            return self._vocab[token]
        except KeyError:
            known = f"; special tokens: {', '.join(self.special_tokens)}" if self._special else ""
            raise ValueError(f"token_to_id: {token!r} is not a token of this vocabulary{known}") from None

    def id_to_token(self, index: SupportsIndex) -> str:
        """The token of an id, as the vocabulary writes it. Raises ValueError when the vocabulary has no such id."""
        try:
            return self._tokens[as_index(index)]
        except KeyError:
            raise self._no_such_id(index) from None

    def encode_batch(self, texts: Iterable[str], *, allowed_special: AllowedSpecial = "all") -> list[list[int]]:
        """The ids of several texts, each as `encode` gives them; no padding."""
        return [self.encode(text, allowed_special=allowed_special) for text in check_texts(texts, "encode_batch")]

    def decode_bytes(self, ids: Iterable[SupportsIndex], *, skip_special_tokens: bool = False) -> bytes:
        """The bytes that ids (T,) stand for, whether or not they are whole characters.

        The ids are integers of Python, of an array or of a tensor; `skip_special_tokens` leaves special tokens out.
        Raises TypeError for anything but a flat sequence of integers, ValueError for an id outside the vocabulary.
        """
        if not isinstance(ids, Iterable):
            raise TypeError(f"decode: got {type(ids).__name__}; pass a flat sequence of ids, such as [{ids}]")
        return b"".join([self._piece(index, skip_special_tokens) for index in ids])

    def decode(self, ids: Iterable[SupportsIndex], *, skip_special_tokens: bool = False) -> str:
        """The text of ids (T,); bytes that do not form a character, as when ids were cut off, become U+FFFD.

        Raises ValueError for an id outside the vocabulary.
        """
        return self.decode_bytes(ids, skip_special_tokens=skip_special_tokens).decode(errors="replace")

    def decode_batch(self, batch: Iterable[Iterable[SupportsIndex]], *, skip_special_tokens: bool = False) -> list[str]:
        """The text of each row of ids."""
        return [self.decode(ids, skip_special_tokens=skip_special_tokens) for ids in batch]

    def stream_decoder(self, *, skip_special_tokens: bool = False) -> StreamDecoder:
        """A decoder that takes ids as they come and never returns a part of a character."""
        return StreamDecoder(lambda index: self._piece(index, skip_special_tokens))

    def _piece(self, index: SupportsIndex, skip_special_tokens: bool) -> bytes:
        try:
            number = as_index(index)
        except TypeError:
            raise TypeError(
                f"decode: got {type(index).__name__}; an id is one integer, ids are a flat sequence"
            ) from None
        if skip_special_tokens and number in self._special_ids:
            return b""
        try:
            return self._pieces[number]
        except KeyError:
            raise self._no_such_id(number) from None

    def _no_such_id(self, index: SupportsIndex) -> ValueError:
        return ValueError(f"decode: {index} is not an id of this tokenizer; its ids go from 0 to {self.vocab_size - 1}")

    def _allowed(self, allowed_special: AllowedSpecial) -> Collection[str]:
        if allowed_special == "all":
            return self._special.keys()
        if isinstance(allowed_special, str):
            raise ValueError(f"allowed_special: got {allowed_special!r}; pass 'all' or a set of special tokens")
        for token in allowed_special:
            if token not in self._special:
                raise ValueError(f"allowed_special: {token!r} is not one of the special tokens {self.special_tokens}")
        return allowed_special

    def __repr__(self) -> str:
        return f"{type(self).__name__}(vocab_size={self.vocab_size}, special_tokens={self.special_tokens})"
