"""The files of GPT-2's release, `vocab.json` and `merges.txt`, and how they read as a `tokenizer.json`."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tinytorch.tensor import FileFormatError
from tinytorch.tokenizers.document import read_merges, read_vocab
from tinytorch.tokenizers.files import read_json, read_text, write_text
from tinytorch.tokenizers.patterns import GPT2_PATTERN

HEADER = "#version: 0.2"


def as_document(
    vocab: Mapping[str, int],
    merges: Iterable[tuple[str, str]],
    special_tokens: Sequence[str],
    pattern: str = GPT2_PATTERN,
) -> dict[str, Any]:
    """The `tokenizer.json` that Hugging Face's library writes for a byte-level BPE model without further settings."""
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    pre_tokenizer: dict[str, Any] = byte_level
    if pattern != GPT2_PATTERN:
        split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
        pre_tokenizer = {"type": "Sequence", "pretokenizers": [split, byte_level | {"use_regex": False}]}
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": vocab[token], "content": token, **plain} for token in special_tokens],
        "normalizer": None,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": None,
        "decoder": byte_level | {"add_prefix_space": True},
        "model": {
            "type": "BPE",
            **dict.fromkeys(("dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix")),
            **dict.fromkeys(("fuse_unk", "byte_fallback", "ignore_merges"), False),
            "vocab": dict(vocab),
            "merges": [list(merge) for merge in merges],
        },
    }


def read_pair(
    vocab_path: str | os.PathLike[str], merges_path: str | os.PathLike[str]
) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Read the vocabulary and the merges.

    Raises OSError when a file cannot be read, FileFormatError when one is malformed.
    """
    document = read_json(vocab_path)
    try:
        vocab = read_vocab({"vocab": document})
    except ValueError as error:
        raise FileFormatError(f"{vocab_path}: {error}") from error
    lines = read_text(merges_path).split("\n")
    if lines[-1] == "":
        lines.pop()
    if lines and lines[0].startswith("#version"):
        lines.pop(0)
    try:
        return vocab, read_merges({"merges": [line.removesuffix("\r") for line in lines]})
    except ValueError as error:
        raise FileFormatError(f"{merges_path}: {error}") from error


def write_pair(folder: str | os.PathLike[str], vocab: Mapping[str, int], merges: Iterable[tuple[str, str]]) -> None:
    """Write the vocabulary in the order of ids, and the merges in the order they were learned."""
    ordered = dict(sorted(vocab.items(), key=lambda item: item[1]))
    write_text(Path(folder) / "vocab.json", json.dumps(ordered, ensure_ascii=False, separators=(",", ":")))
    write_text(Path(folder) / "merges.txt", "".join(f"{line}\n" for line in (HEADER, *map(" ".join, merges))))
