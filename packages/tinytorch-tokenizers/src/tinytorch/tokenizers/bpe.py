"""Byte-level byte-pair encoding, as GPT-2 introduced it."""

import copy
import json
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

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

    `train` learns one, `load` reads a file, `from_merges` takes what another program learned.

    Args:
        document: the content of a `tokenizer.json`.

    Raises:
        ValueError: when the document asks for anything that is not carried out exactly.

    >>> tokenizer = BPETokenizer.train(["low lower lowest"], vocab_size=260, special_tokens=["<eos>"])
    >>> tokenizer.encode("slow<eos>")
    [83, 258, 0]
    >>> tokenizer.decode([83, 258, 0])
    'slow<eos>'
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        reading.check_rest(document)
        model = document.get("model")
        vocab = reading.read_vocab(model)
        self._merges = reading.read_merges(model)
        self._ignore_merges = reading.read_model_settings(model, complete=all(char in vocab for char in BYTE_TO_CHAR))
        self._splitters = reading.read_splitters(document.get("pre_tokenizer"))
        self._added = reading.read_added_tokens(document.get("added_tokens"), vocab)
        self._merger = Merger(vocab, self._merges, self._ignore_merges)
        self._model_vocab = vocab

        added = {token.content: token.id for token in self._added}
        self._before, self._after = reading.read_template(document.get("post_processor"), added)
        pieces = {index: unspell(token) for token, index in vocab.items()}
        pieces |= {index: content.encode() for content, index in added.items()}
        super().__init__(vocab | added, pieces, [token.content for token in self._added if token.special])
        self._all_matchers = self._matchers(self._special)

        light = {"model": {**document["model"], "vocab": {}, "merges": []}}
        self._document = copy.deepcopy({**document, **light})

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

        The special tokens get the first ids, then the 256 bytes, then the merges. Special tokens within the texts are
        read as plain text, but no merge ever makes one.

        Args:
            texts: strings; an iterator is read once.
            vocab_size: the number of tokens to reach. Texts with too few pairs give fewer, which `vocab_size` shows.
            special_tokens: for example `["<bos>", "<eos>"]`.
            min_frequency: how often a pair must occur to become a token.
            pattern: how texts are cut into words, such as `GPT2_PATTERN` or `LLAMA3_PATTERN`.

        Raises:
            TypeError: for one string instead of several.
            ValueError: for a vocabulary too small for the bytes, a special token that is empty, repeated or a byte's
                character, or a malformed pattern.
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
        """A tokenizer of known merges.

        Args:
            vocab: token -> id, tokens spelled in GPT-2's alphabet.
            merges: pairs of spelled tokens in the order they were learned.
            special_tokens: tokens of `vocab`.
            pattern: how texts are cut into words.

        Raises:
            ValueError: when they contradict each other.
        """
        if missing := [token for token in special_tokens if token not in vocab]:
            raise ValueError(f"special_tokens: {missing[0]!r} is not in the vocabulary")
        return cls(gpt2.as_document(vocab, merges, special_tokens, pattern))

    def encode(
        self, text: str, *, allowed_special: AllowedSpecial = "all", add_special_tokens: bool = True
    ) -> list[int]:
        """The ids of a text.

        Args:
            text: any string without lone surrogates.
            allowed_special: the special tokens to look for. With `()` a text that someone typed cannot hold any:
                their characters are encoded like others.
            add_special_tokens: put what the file's post-processor asks for around the text (Llama 3's
                `<|begin_of_text|>`); tokenizers trained here ask for nothing.

        Raises:
            TypeError: for anything but a string.
            ValueError: for a lone surrogate, or an unknown name in `allowed_special`.
        """
        check_text(text, "encode")
        matchers = self._all_matchers if allowed_special == "all" else self._matchers(self._allowed(allowed_special))
        ids = list(self._before) if add_special_tokens else []
        for piece, index in self._segments(text, matchers):
            if index is None:
                ids += self._merger.ids(pre_tokenize(piece, self._splitters))
            else:
                ids.append(index)
        return ids + self._after if add_special_tokens else ids

    def _matchers(self, allowed: Collection[str]) -> list[re.Pattern[str]]:
        """What captures added tokens: first those not subject to normalisation, even where others begin earlier."""
        wanted = [token for token in self._added if not token.special or token.content in allowed]
        found = [literals(token.content for token in wanted if token.normalized is late) for late in (False, True)]
        return [matcher for matcher in found if matcher]

    def _segments(self, text: str, matchers: list[re.Pattern[str]]) -> list[tuple[str, int | None]]:
        """Ordinary stretches of a text, and the added tokens between them with their ids."""
        segments: list[tuple[str, int | None]] = [(text, None)]
        for matcher in matchers:
            cut: list[tuple[str, int | None]] = []
            for stretch, index in segments:
                if index is not None:
                    cut.append((stretch, index))
                    continue
                for position, piece in enumerate(matcher.split(stretch)):
                    cut.append((piece, self._vocab[piece] if position % 2 else None))
            segments = cut
        return [segment for segment in segments if segment[0]]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a `tokenizer.json`, the file itself or in a folder that exists, atomically.

        A file that was loaded is written with all its settings.
        """
        model = self._document["model"] | {
            "vocab": dict(sorted(self._model_vocab.items(), key=lambda item: item[1])),
            "merges": [list(merge) for merge in self._merges],
        }
        write_text(_file(path), json.dumps(self._document | {"model": model}, ensure_ascii=False, indent=2))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a `tokenizer.json`, the file itself or the folder that holds it.

        Raises:
            OSError: when the file cannot be read.
            ValueError: when it is malformed, or asks for a normalizer, a pre-tokenizer or anything else that is not
                carried out exactly.
        """
        file = _file(path)
        document = read_json(file)
        try:
            return cls(document)
        except ValueError as error:
            raise ValueError(f"{file}: {error}") from error

    def save_gpt2(self, folder: str | os.PathLike[str]) -> None:
        """Write GPT-2's pair of files, `vocab.json` and `merges.txt`, each atomically, into a folder that exists.

        Raises:
            ValueError: when the pair cannot hold this tokenizer: it has no place for another pre-tokenisation than
                GPT-2's, nor for a template or added tokens.
        """
        lost = {
            "pre-tokenizer": self._splitters != [reading.Splitter(GPT2_PATTERN)],
            "template": bool(self._before or self._after),
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
        """Read GPT-2's pair of files.

        Args:
            vocab_path: `vocab.json`.
            merges_path: `merges.txt`.
            special_tokens: tokens of the vocabulary; by default all that are neither a byte nor made by a merge, for
                no text could ever give those (GPT-2's `<|endoftext|>`).

        Raises:
            OSError: when a file cannot be read.
            ValueError: when a file is malformed or the two contradict each other.
        """
        vocab, merges = gpt2.read_pair(vocab_path, merges_path)
        if special_tokens is None:
            reachable = {*BYTE_TO_CHAR, *(left + right for left, right in merges)}
            special_tokens = [token for token in vocab if token not in reachable]
        try:
            return cls.from_merges(vocab, merges, special_tokens)
        except ValueError as error:
            raise ValueError(f"{vocab_path} and {merges_path}: {error}") from error


def _file(path: str | os.PathLike[str]) -> Path:
    return Path(path) / "tokenizer.json" if Path(path).is_dir() else Path(path)
