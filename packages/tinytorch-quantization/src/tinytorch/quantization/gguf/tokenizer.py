"""Byte-level BPE tokenizers in the metadata of GGUF files: tokens, their types, merges, and how texts are cut."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tinytorch.tensor import FileFormatError
from tinytorch.tokenizers import GPT2_PATTERN, LLAMA3_PATTERN, BPETokenizer
from tinytorch.tokenizers.document import AddedToken, Splitter, read_added_tokens, read_splitters, read_template
from tinytorch.tokenizers.gpt2 import as_document

from .container import GGUFFile

NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5  # types of tokens

DIGITS = (r"\p{N}", GPT2_PATTERN)
PATTERNS: dict[str, tuple[tuple[str, ...], bool]] = {
    "gpt-2": ((GPT2_PATTERN,), False),
    "smollm": (DIGITS, False), "starcoder": (DIGITS, False), "refact": (DIGITS, False), "command-r": (DIGITS, False),
    "llama-bpe": ((LLAMA3_PATTERN,), True), "llama-v3": ((LLAMA3_PATTERN,), True), "llama3": ((LLAMA3_PATTERN,), True),
    "smaug-bpe": ((LLAMA3_PATTERN,), False), "dbrx": ((LLAMA3_PATTERN,), False),
}  # fmt: skip
"""How a pre-tokenizer cuts texts, one pattern after another, and whether a word that is a token skips the merges.

Of several names for the same, the first is written.

Source: llama.cpp, `llama-vocab.cpp`.
"""
ADDS_BOS = ("llama-bpe", "llama-v3", "llama3")  # unless the file says something else

PREFIX = "tokenizer.ggml."


def read_tokenizer(file: GGUFFile) -> BPETokenizer | None:
    """The tokenizer of a file, None where it has none.

    Raises FileFormatError for one of another kind than byte-level BPE, for a pre-tokenizer that is not known, and for
    tokens, types and merges that contradict each other.
    """
    said = {name.removeprefix(PREFIX): value for name, value in file.metadata.items() if name.startswith(PREFIX)}
    if (kind := said.get("model", "none")) in ("none", "no_vocab"):
        return None
    alone = "load_gguf(path, tokenizer=False) loads the model alone"
    if kind != "gpt2":
        raise file.wrong(f"its tokenizer is of the kind {kind!r:.60}, and 'gpt2' (byte-level BPE) is read;\n{alone}")
    if (pre := said.get("pre")) not in PATTERNS:
        raise file.wrong(f"its pre-tokenizer is {pre!r:.60}; known are {', '.join(PATTERNS)};\n{alone}")
    try:
        return BPETokenizer(_document(said, *PATTERNS[pre]))
    except (ValueError, TypeError) as error:
        raise file.wrong(f"its tokenizer: {error}") from error


def _document(said: Mapping[str, Any], patterns: Sequence[str], ignore_merges: bool) -> dict[str, Any]:
    """The `tokenizer.json` that means what a file says."""
    tokens, merges = (said.get(name) for name in ("tokens", "merges"))
    if not isinstance(tokens, list) or not isinstance(merges, list):
        raise FileFormatError("tokens and merges are not lists of text")
    types = said.get("token_type", np.full(len(tokens), NORMAL))
    if not isinstance(types, np.ndarray) or types.dtype.kind not in "iu" or len(types) != len(tokens):
        raise FileFormatError(f"token_type is not one integer for each of {len(tokens):,} tokens")
    if len(set(tokens)) < len(tokens):
        raise FileFormatError("one of its tokens is there twice")
    around = [_added(said, name, len(tokens)) for name in ("bos", "eos")]
    kinds = dict(enumerate(types.tolist())) | {i: CONTROL for each in around for i in each}
    vocab = {token: i for i, token in enumerate(tokens) if kinds[i] not in (CONTROL, USER_DEFINED, UNUSED)}
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    document = as_document(vocab, [], [], patterns[-1])
    if before := [_split(pattern) for pattern in patterns[:-1]]:
        document["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [*before, document["pre_tokenizer"]]}
    document["model"] |= {"ignore_merges": ignore_merges, "merges": merges}
    document["added_tokens"] = [
        {"id": i, "content": tokens[i], **plain, "special": kind == CONTROL}
        for i, kind in kinds.items()
        if kind in (CONTROL, USER_DEFINED)
    ]
    if any(around):
        document["post_processor"] = _template(tokens, *around)
    return document


def _split(pattern: str) -> dict[str, Any]:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def _added(said: Mapping[str, Any], name: str, count: int) -> list[int]:
    """The token that is put before (bos) or after (eos) a text, where a file asks for that."""
    if said.get(f"add_{name}_token", name == "bos" and said["pre"] in ADDS_BOS) is not True:
        return []
    token = said.get(f"{name}_token_id")
    if type(token) is not int or not 0 <= token < count:
        raise FileFormatError(f"add_{name}_token is set, and {name}_token_id is {token!r:.60} of {count:,} tokens")
    return [token]


def _template(tokens: Sequence[str], before: list[int], after: list[int]) -> dict[str, Any]:
    pieces = [[{"SpecialToken": {"id": tokens[i], "type_id": 0}} for i in each] for each in (before, after)]
    text = {"Sequence": {"id": "A", "type_id": 0}}
    named = {tokens[i]: {"id": tokens[i], "ids": [i], "tokens": [tokens[i]]} for i in before + after}
    return {
        "type": "TemplateProcessing",
        "single": [*pieces[0], text, *pieces[1]],
        "pair": [*pieces[0], text, {"Sequence": {"id": "B", "type_id": 1}}, *pieces[1]],
        "special_tokens": named,
    }


def tokenizer_metadata(tokenizer: Any, vocab_size: int, stop_tokens: Sequence[int]) -> dict[str, Any]:
    """What a file says of a tokenizer, of a model with `vocab_size` rows, or that it has none.

    Raises TypeError for a tokenizer of another kind than byte-level BPE, ValueError for one with settings that GGUF has
    no place for, or with more tokens than the model.
    """
    if tokenizer is None:
        return {f"{PREFIX}model": "none"}
    if not isinstance(tokenizer, BPETokenizer):
        raise TypeError(f"save_gguf: tokenizer is a {type(tokenizer).__name__}; GGUF files hold a BPETokenizer")
    if tokenizer.vocab_size > vocab_size:
        raise ValueError(
            f"save_gguf: the tokenizer has {tokenizer.vocab_size} tokens and the model {vocab_size}; it is another's"
        )
    document = tokenizer.document
    ids: dict[str, int] = document["model"]["vocab"]
    added = read_added_tokens(document["added_tokens"], ids)
    before, after = read_template(document.get("post_processor"), {token.content: token.id for token in added})
    tokens, types = [f"[PAD{i}]" for i in range(vocab_size)], np.full(vocab_size, UNUSED, np.int32)
    for token, i in ids.items():
        tokens[i], types[i] = token, NORMAL
    for each in added:
        tokens[each.id], types[each.id] = each.content, CONTROL if each.special else USER_DEFINED
    around = {f"{PREFIX}add_bos_token": bool(before), f"{PREFIX}add_eos_token": bool(after)}
    bos = {f"{PREFIX}bos_token_id": before[0]} if before else {}
    lost = {
        "normalizer": document.get("normalizer"), "truncation": document.get("truncation"),
        "padding": document.get("padding"), "template": before[1:] or (after and after != [*stop_tokens[:1]]),
        "order of added tokens": _collide(added),
    }  # fmt: skip
    if reasons := [name for name, found in lost.items() if found]:
        raise ValueError(f"save_gguf: GGUF files have no place for this tokenizer's {reasons[0]}")
    return {
        f"{PREFIX}model": "gpt2",
        f"{PREFIX}pre": _pre(document),
        f"{PREFIX}tokens": tokens,
        f"{PREFIX}token_type": types,
        f"{PREFIX}merges": [" ".join(merge) for merge in document["model"]["merges"]],
        **bos,
        **around,
    }


def _collide(added: Sequence[AddedToken]) -> bool:
    """Whether some tokens that are found first overlap others in a text: files do not say which come first."""
    first, later = ([each.content for each in added if each.normalized is late] for late in (False, True))
    return any(
        a in b or b in a or any(a.endswith(b[:n]) or b.endswith(a[:n]) for n in range(1, min(len(a), len(b))))
        for a in first
        for b in later
    )


def _pre(document: Mapping[str, Any]) -> str:
    splitters = [each for each in read_splitters(document["pre_tokenizer"]) if each != Splitter(None)]
    ignore_merges = document["model"].get("ignore_merges", False)
    for name, (patterns, ignores) in PATTERNS.items():
        if splitters == [*map(Splitter, patterns)] and ignore_merges == ignores:
            return name
    raise ValueError("save_gguf: GGUF files have no name for this pre-tokenizer; GPT2_PATTERN and LLAMA3_PATTERN do")
