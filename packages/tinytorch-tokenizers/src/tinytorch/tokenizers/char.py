"""A character is a token."""

import json
import os
from collections.abc import Iterable, Sequence
from typing import Self

from tinytorch.tensor import FileFormatError
from tinytorch.tokenizers.base import AllowedSpecial, Tokenizer, check_text, check_texts, literals
from tinytorch.tokenizers.document import take
from tinytorch.tokenizers.files import read_json, write_text

FORMAT = "tinytorch.CharTokenizer"


class CharTokenizer(Tokenizer):
    """One id for each character, in the order of code points, after the special tokens.

    `characters` are the vocabulary; `build_vocab` collects it from texts instead. `unknown` is a special token, id 0,
    that stands for every character outside the vocabulary; without it such a character is an error. Further
    `special_tokens` are found as a whole wherever a text holds them. Raises ValueError when one is empty or repeated.

    >>> tokenizer = CharTokenizer(unknown="<unk>").build_vocab(["hello", "world"])
    >>> tokenizer.encode("hold!")
    [3, 5, 4, 1, 0]
    >>> tokenizer.decode([3, 5, 4, 1, 0])
    'hold<unk>'
    """

    def __init__(
        self, characters: Iterable[str] = (), *, unknown: str | None = None, special_tokens: Sequence[str] = ()
    ) -> None:
        self.unknown = unknown
        specials = [*([] if unknown is None else [unknown]), *check_texts(special_tokens, "special_tokens")]
        self._set_characters(set(characters), specials)

    def _set_characters(self, characters: set[str], specials: list[str]) -> None:
        if len(set(specials)) < len(specials) or "" in specials:
            raise ValueError(f"special_tokens: {specials} repeat a token or hold an empty one")
        for character in characters:
            if len(check_text(character, "characters")) != 1:
                raise ValueError(f"characters: {character!r} is not one character; name it in special_tokens?")
        characters -= set(specials)
        tokens = [*specials, *sorted(characters)]
        pieces = {index: token.encode() for index, token in enumerate(tokens)}
        super().__init__({token: index for index, token in enumerate(tokens)}, pieces, specials)

    def build_vocab(self, texts: Iterable[str]) -> Self:
        """Make the characters of these texts the vocabulary, in place of the one before.

        Raises TypeError for one string instead of several, ValueError for a lone surrogate.
        """
        characters: set[str] = set()
        splitter = literals(self._special)
        for text in check_texts(texts, "build_vocab"):
            for piece in splitter.split(text)[::2] if splitter else (text,):
                characters.update(piece)
        self._set_characters(characters, self.special_tokens)
        return self

    def encode(self, text: str, *, allowed_special: AllowedSpecial = "all") -> list[int]:
        """The ids of a text without lone surrogates, one for each character or special token.

        Special tokens other than the `allowed_special` ones are read character by character. Raises ValueError for a
        character outside the vocabulary when there is no unknown token.
        """
        check_text(text, "encode")
        splitter = literals(self._allowed(allowed_special))
        unknown = None if self.unknown is None else self._vocab[self.unknown]
        ids: list[int] = []
        for position, piece in enumerate(splitter.split(text) if splitter else (text,)):
            if position % 2:
                ids.append(self._vocab[piece])
                continue
            for character in piece:
                index = self._vocab.get(character, unknown)
                if index is None:
                    raise ValueError(
                        f"encode: {character!r} (U+{ord(character):04X}) is not among the {self.vocab_size} tokens\n"
                        "Build the vocabulary from texts that hold it, or give the tokenizer an unknown token"
                    )
                ids.append(index)
        return ids

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the tokenizer as a JSON file, atomically."""
        document = {
            "format": FORMAT,
            "version": 1,
            "unknown": self.unknown,
            "special_tokens": [token for token in self.special_tokens if token != self.unknown],
            "characters": "".join(token for token in self._vocab if token not in self._special),
        }
        write_text(path, json.dumps(document, ensure_ascii=False, indent=2) + "\n")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read what `save` wrote. Raises OSError when it cannot be read, FileFormatError when it is another file."""
        document = read_json(path)
        where = str(path)
        if take(document, "format", str, where, "none") != FORMAT or document.get("version") != 1:
            raise FileFormatError(
                f"{path}: not a character tokenizer of version 1\nWas it written by CharTokenizer.save?"
            )
        unknown = document.get("unknown")
        if unknown is not None:
            unknown = take(document, "unknown", str, where)
        specials = take(document, "special_tokens", list, where)
        try:
            return cls(take(document, "characters", str, where), unknown=unknown, special_tokens=specials)
        except (TypeError, ValueError) as error:
            raise FileFormatError(f"{path}: {error}") from error
