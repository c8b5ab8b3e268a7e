"""Byte-level byte-pair encoding, as GPT-2 introduced it."""

import copy
import json
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self
from unicodedata import normalize

from tinytorch.tensor import FileFormatError
from tinytorch.tokenizers import document as reading
from tinytorch.tokenizers import gpt2
from tinytorch.tokenizers.alphabet import BYTE_TO_CHAR, unspell
from tinytorch.tokenizers.base import AllowedSpecial, Tokenizer, check_text, check_texts, literals
from tinytorch.tokenizers.files import read_json, write_text
from tinytorch.tokenizers.merging import Merger
from tinytorch.tokenizers.patterns import GPT2_PATTERN, split
from tinytorch.tokenizers.training import initial_vocab, learn_merges


def pre_tokenize(text: str, splitters: Sequence[reading.Splitter]) -> list[str]:
    """Cut a text into words, within which merges stay.

    >>> pre_tokenize("How's it?", [reading.Splitter(GPT2_PATTERN)])
    ['How', "'s", ' it', '?']
    """
    words = [text]
    for splitter in splitters:
        if splitter.prefix_space:
            words = [word if word.startswith(" ") else f" {word}" for word in words]
        if splitter.pattern is not None:
            words = [piece for word in words for piece in split(word, splitter.pattern)]
    return words


class BPETokenizer(Tokenizer):
    """A byte-level BPE tokenizer: any text becomes ids and comes back as it was.

    `train` learns one, `load` reads a file, `from_merges` takes what another program learned. `document` is the content
    of a `tokenizer.json`; with its normalizer NFC a text comes back in normal form C. Raises FileFormatError when the
    document asks for anything that is not carried out exactly.

    >>> tokenizer = BPETokenizer.train(["low lower lowest"], vocab_size=260, special_tokens=["<eos>"])
    >>> tokenizer.encode("slow<eos>")
    [83, 258, 0]
    >>> tokenizer.decode([83, 258, 0])
    'slow<eos>'
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        model = reading.take(document, "model", dict, "document")
        try:
            self._document = copy.deepcopy({**document, "model": {**model, "vocab": {}, "merges": []}})
        except RecursionError as error:
            raise FileFormatError("document: nested too deeply for a tokenizer") from error
        reading.check_rest(document)
        vocab = reading.read_vocab(model)
        self._merges = reading.read_merges(model)
        self._ignore_merges = reading.read_model_settings(model, complete=all(char in vocab for char in BYTE_TO_CHAR))
        self._splitters = reading.read_splitters(document.get("pre_tokenizer"))
        self._added = reading.read_added_tokens(document.get("added_tokens"), vocab)
        self._merger = Merger(vocab, self._merges, self._ignore_merges)
        self._model_vocab = vocab

        added = {token.content: token.id for token in self._added}
        self._before, self._after = reading.read_template(document.get("post_processor"), added)
        around = len(self._before + self._after)
        self._normalizes = reading.read_normalizer(document.get("normalizer"))
        self._max_length, self._keep_last = reading.read_truncation(document.get("truncation"), around)
        self._padding = reading.read_padding(document.get("padding"))
        pieces = {index: unspell(token) for token, index in vocab.items()}
        pieces |= {index: content.encode() for content, index in added.items()}
        super().__init__(vocab | added, pieces, [token.content for token in self._added if token.special])
        self._all_matchers = self._matchers(self._special)

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        vocab_size: int,
        special_tokens: Sequence[str] = (),
        *,
        min_frequency: int = 1,
        pattern: str = GPT2_PATTERN,
    ) -> Self:
        """Learn a tokenizer from texts: the same merges and ids as Hugging Face's `BpeTrainer`.

        The special tokens, for example `["<bos>", "<eos>"]`, get the first ids, then the 256 bytes, then the merges.
        Special tokens within the texts are read as plain text, but no merge ever makes one. An iterator of texts is
        read once. Texts with too few pairs that occur `min_frequency` times give fewer than `vocab_size` tokens.
        `pattern` says how texts are cut into words: `GPT2_PATTERN`, `LLAMA3_PATTERN` or another.

        Raises TypeError for one string instead of several, ValueError for a vocabulary too small for the bytes, for a
        special token that is empty, repeated or a byte's character, and for a pattern that `split` refuses.
        """
        specials = list(check_texts(special_tokens, "special_tokens"))
        for position, token in enumerate(specials):
            if not token or token in BYTE_TO_CHAR or token in specials[:position]:
                raise ValueError(f"special_tokens: {token!r} is empty, repeated or the character of a byte")
        if vocab_size < (least := 256 + len(specials)):
            raise ValueError(
                f"vocab_size: got {vocab_size}; 256 bytes and {len(specials)} special tokens need at least {least}"
            )
        if min_frequency < 1:
            raise ValueError(f"min_frequency: got {min_frequency}; a pair must occur at least once")
        counts: Counter[str] = Counter()
        for text in check_texts(texts, "train"):
            counts.update(split(text, pattern))
        vocab = initial_vocab(specials)
        merges = learn_merges(counts, vocab, vocab_size, min_frequency)
        return cls.from_merges(vocab, merges, specials, pattern=pattern)

    @classmethod
    def from_merges(
        cls,
        vocab: Mapping[str, int],
        merges: Iterable[tuple[str, str]],
        special_tokens: Sequence[str] = (),
        *,
        pattern: str = GPT2_PATTERN,
    ) -> Self:
        """A tokenizer of known merges: pairs of tokens in the order they were learned.

        `vocab` maps tokens, spelled in GPT-2's alphabet, to ids; `special_tokens` are some of them; `pattern` says how
        texts are cut into words. Raises ValueError when they contradict each other.
        """
        if missing := [token for token in special_tokens if token not in vocab]:
            raise ValueError(f"special_tokens: {missing[0]!r} is not in the vocabulary")
        return cls(gpt2.as_document(vocab, merges, special_tokens, pattern))

    def encode(
        self, text: str, *, allowed_special: AllowedSpecial = "all", add_special_tokens: bool = True
    ) -> list[int]:
        """The ids of a text without lone surrogates, cut and padded where the file asks for that.

        `allowed_special` are the special tokens to look for. With `()` a text that someone typed cannot hold any: their
        characters are encoded like others. `add_special_tokens` puts what the file's post-processor asks for around the
        text (Llama 3's `<|begin_of_text|>`); tokenizers trained here ask for nothing.

        Raises TypeError for anything but a str, ValueError for a lone surrogate or an unknown special token.
        """
        return self._pad([self._ids(text, allowed_special, add_special_tokens)])[0]

    def encode_batch(
        self, texts: Iterable[str], *, allowed_special: AllowedSpecial = "all", add_special_tokens: bool = True
    ) -> list[list[int]]:
        """The ids of several texts, as `encode` gives them; where the file asks for padding, all of one length."""
        checked = check_texts(texts, "encode_batch")
        return self._pad([self._ids(text, allowed_special, add_special_tokens) for text in checked])

    def _ids(self, text: str, allowed_special: AllowedSpecial, add_special_tokens: bool) -> list[int]:
        check_text(text, "encode")
        matchers = self._all_matchers if allowed_special == "all" else self._matchers(self._allowed(allowed_special))
        (early, early_ids), (late, late_ids) = matchers
        ids: list[int] = []
        for position, stretch in enumerate(early.split(text) if early else (text,)):
            if position % 2:
                ids.append(early_ids[stretch])
                continue
            normal = self._normalize(stretch)
            for place, piece in enumerate(late.split(normal) if late else (normal,)):
                if place % 2:
                    ids.append(late_ids[piece])
                elif piece:
                    ids += self._merger.ids(pre_tokenize(piece, self._splitters))
        before, after = (self._before, self._after) if add_special_tokens else ([], [])
        if self._max_length is not None and (over := len(before + ids + after) - self._max_length) > 0:
            ids = ids[over:] if self._keep_last else ids[:-over]
        return before + ids + after

    def _pad(self, batch: list[list[int]]) -> list[list[int]]:
        pad_id, length, multiple, left = self._padding
        if pad_id is None:
            return batch
        length = max(map(len, batch), default=0) if length is None else length
        length += -length % multiple
        padding = [[pad_id] * (length - len(ids)) for ids in batch]
        return [pad + ids if left else ids + pad for ids, pad in zip(batch, padding, strict=True)]

    def _normalize(self, text: str) -> str:
        return normalize("NFC", text) if self._normalizes else text

    def _matchers(self, allowed: Collection[str]) -> list[tuple[re.Pattern[str] | None, dict[str, int]]]:
        """What captures added tokens, and their ids: first those that are not to be normalized, then the others."""
        wanted = [token for token in reversed(self._added) if not token.special or token.content in allowed]
        early = {token.content: token.id for token in wanted if not token.normalized}
        late = {self._normalize(token.content): token.id for token in wanted if token.normalized}
        return [(literals(early), early), (literals(late), late)]

    @property
    def document(self) -> dict[str, Any]:
        """The content of the `tokenizer.json` that `save` writes, as a new dict: what this tokenizer is made of.

        >>> tokenizer = BPETokenizer.train(["low lower"], vocab_size=258)
        >>> tokenizer.document["model"]["merges"]
        [['l', 'o'], ['lo', 'w']]
        >>> BPETokenizer(tokenizer.document).encode("low") == tokenizer.encode("low")
        True
        """
        document = copy.deepcopy(self._document)  # without vocabulary and merges, which are large
        document["model"] |= {
            "vocab": dict(sorted(self._model_vocab.items(), key=lambda item: item[1])),
            "merges": [list(merge) for merge in self._merges],
        }
        return document

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a `tokenizer.json`, the file itself or in a folder that exists, atomically.

        A file that was loaded is written with all its settings.
        """
        write_text(_file(path), json.dumps(self.document, ensure_ascii=False, indent=2))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a `tokenizer.json`, the file itself or the folder that holds it.

        Raises OSError when the file cannot be read, FileFormatError when it is malformed, or asks for a pre-tokenizer
        or anything else that is not carried out exactly.
        """
        file = _file(path)
        document = read_json(file)
        try:
            return cls(document)
        except ValueError as error:
            raise FileFormatError(f"{file}: {error}") from error

    def save_gpt2(self, folder: str | os.PathLike[str]) -> None:
        """Write GPT-2's pair of files, `vocab.json` and `merges.txt`, each atomically, into a folder that exists.

        Raises ValueError when the pair cannot hold this tokenizer: it has no place for another pre-tokenization than
        GPT-2's, nor for a normalizer, truncation, padding, a template or added tokens.
        """
        lost = {
            "pre-tokenizer": self._splitters != [reading.Splitter(GPT2_PATTERN)],
            "template": bool(self._before or self._after),
            "normalizer": self._normalizes,
            "truncation": self._max_length is not None,
            "padding": self._padding[0] is not None,
            "ignore_merges": self._ignore_merges,
            "added tokens": any(not token.special or token.content not in self._model_vocab for token in self._added),
        }
        if reasons := [name for name, found in lost.items() if found]:
            raise ValueError(f"save_gpt2: the pair of files cannot hold this tokenizer's {reasons[0]}; use save")
        gpt2.write_pair(folder, self._model_vocab, self._merges)

    @classmethod
    def load_gpt2(
        cls,
        vocab_path: str | os.PathLike[str],
        merges_path: str | os.PathLike[str],
        special_tokens: Sequence[str] | None = None,
    ) -> Self:
        """Read GPT-2's pair of files, `vocab.json` and `merges.txt`.

        `special_tokens` are tokens of the vocabulary; by default all that are neither a byte nor made by a merge,
        because no text could ever give those (GPT-2's `<|endoftext|>`).

        Raises OSError when a file cannot be read, FileFormatError when one is malformed or the two contradict each
        other.
        """
        vocab, merges = gpt2.read_pair(vocab_path, merges_path)
        if special_tokens is None:
            reachable = {*BYTE_TO_CHAR, *(left + right for left, right in merges)}
            special_tokens = [token for token in vocab if token not in reachable]
        try:
            return cls.from_merges(vocab, merges, special_tokens)
        except ValueError as error:
            raise FileFormatError(f"{vocab_path} and {merges_path}: {error}") from error


def _file(path: str | os.PathLike[str]) -> Path:
    return Path(path) / "tokenizer.json" if Path(path).is_dir() else Path(path)
