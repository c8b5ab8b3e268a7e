"""What a `tokenizer.json` says, read strictly: every setting is either carried out or refused, never passed over."""

import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from tinytorch.tensor import FileFormatError
from tinytorch.tokenizers.patterns import GPT2_PATTERN, compile_for

T = TypeVar("T")
MAX_LENGTH = 1 << 24


@dataclass(frozen=True)
class Splitter:
    """One step of pre-tokenization: a space put before the text where it lacks one, then a cut at every match."""

    pattern: str | None
    prefix_space: bool = False


@dataclass(frozen=True)
class AddedToken:
    """A token that is found in the text before anything else; `special` ones can be switched off and skipped."""

    content: str
    id: int
    special: bool
    normalized: bool


def take(section: Any, name: str, kind: type[T], where: str, default: T | None = None) -> T:
    """The field `name` of a JSON object, of the right type; a missing one is `default` if there is one.

    Raises FileFormatError when the section is not an object, or the field is missing or of another type.
    """
    if not isinstance(section, Mapping):
        raise FileFormatError(f"{where}: got {_show(section)}; it must be a JSON object")
    if name not in section and default is not None:
        return default
    found = section.get(name)
    if not isinstance(found, kind) or (kind is int and isinstance(found, bool)):
        seen = _show(found) if name in section else "nothing"
        raise FileFormatError(f"{where}.{name}: got {seen}; it must be of type {kind.__name__}")
    return found


def _show(value: Any) -> str:
    text = reprlib.repr(value)  # bounded in depth too
    return text if len(text) <= 60 else f"{text[:57]}..."


def _unsupported(where: str, seen: Any, supported: str) -> FileFormatError:
    return FileFormatError(f"{where}: {_show(seen)} is not supported\nSupported: {supported}")


def _check_names(section: Any, names: set[str], where: str) -> None:
    unknown = set(take({"section": section}, "section", dict, where)) - names
    if unknown:
        raise _unsupported(where, min(unknown), ", ".join(sorted(names)))


def _flatten(section: Any, members: str, where: str) -> list[Any]:
    """The steps of a section: none for null, the members of a Sequence, else the section itself."""
    if section is None:
        return []
    if take(section, "type", str, where) != "Sequence":
        return [section]
    _check_names(section, {"type", members}, where)
    nested = take(section, members, list, where)
    return [step for index, member in enumerate(nested) for step in _flatten(member, members, f"{where}[{index}]")]


def read_vocab(model: Any) -> dict[str, int]:
    """The model's vocabulary. Raises FileFormatError for ids that are negative, not integers or given twice."""
    vocab: dict[str, int] = dict(take(model, "vocab", dict, "model"))
    for token, index in vocab.items():
        if type(index) is not int or index < 0:
            raise FileFormatError(f"model.vocab: token {token!r} has id {_show(index)}; ids are integers from 0 on")
    if len(set(vocab.values())) < len(vocab):
        owner: dict[int, str] = {}
        for token, index in vocab.items():
            if owner.setdefault(index, token) != token:
                raise FileFormatError(f"model.vocab: {owner[index]!r} and {token!r} share the id {index}")
    return vocab


def read_merges(model: Any) -> list[tuple[str, str]]:
    """The model's merges, written as pairs or, as older files do, as strings with one space.

    Raises FileFormatError for a merge of any other form.
    """
    merges = []
    for rank, merge in enumerate(take(model, "merges", list, "model")):
        pair = merge.split(" ") if isinstance(merge, str) else merge
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(token, str) for token in pair):
            raise FileFormatError(f"model.merges[{rank}]: got {_show(merge)}; a merge is two tokens")
        merges.append((pair[0], pair[1]))
    return merges


def read_model_settings(model: Any, complete: bool) -> bool:
    """Check a BPE model's settings, and tell whether a word that is a token skips the merges.

    `complete` says that every byte has a token, so that nothing is ever unknown. Raises FileFormatError for a
    model that is not plain byte-level BPE.
    """
    # Older files leave the type out; only BPE has merges.
    if (kind := take(model, "type", str, "model", "BPE")) != "BPE":
        raise _unsupported("model.type", kind, "BPE")
    empty = {"dropout": (None, 0, 0.0), "continuing_subword_prefix": (None, ""), "end_of_word_suffix": (None, "")}
    unknown = {"unk_token": (None,), "fuse_unk": (None, False), "byte_fallback": (None, False)}
    _check_names(model, {"type", "vocab", "merges", "ignore_merges", *empty, *unknown}, "model")
    for name, allowed in (empty if complete else empty | unknown).items():
        if model.get(name) not in allowed:
            raise _unsupported(f"model.{name}", model[name], f"{allowed[0]!r}, with a token for each of the 256 bytes")
    return take(model, "ignore_merges", bool, "model", False)


def read_splitters(section: Any) -> list[Splitter]:
    """The steps of pre-tokenization, of which the last must be ByteLevel.

    Raises FileFormatError for a step that is not ByteLevel, Digits or an isolating Split.
    """
    steps = _flatten(section, "pretokenizers", "pre_tokenizer")
    splitters = []
    for index, step in enumerate(steps):
        where = f"pre_tokenizer step {index}"
        kind = take(step, "type", str, where)
        if (kind == "ByteLevel") != (index == len(steps) - 1):
            raise _unsupported(where, kind, "any number of Split and Digits, then ByteLevel as the last one")
        if kind == "ByteLevel":
            _check_names(step, {"type", "add_prefix_space", "trim_offsets", "use_regex"}, where)
            pattern = GPT2_PATTERN if take(step, "use_regex", bool, where, True) else None
            splitters.append(Splitter(pattern, take(step, "add_prefix_space", bool, where)))
        elif kind == "Digits":
            _check_names(step, {"type", "individual_digits"}, where)
            splitters.append(Splitter(r"\p{N}" if take(step, "individual_digits", bool, where) else r"\p{N}+"))
        elif kind == "Split":
            splitters.append(_read_split(step, where))
        else:
            raise _unsupported(where, kind, "ByteLevel, Digits, Split")
    if not steps:
        raise _unsupported("pre_tokenizer", section, "ByteLevel, alone or after Split and Digits")
    return splitters


def _read_split(step: Any, where: str) -> Splitter:
    _check_names(step, {"type", "pattern", "behavior", "invert"}, where)
    pattern = take(step, "pattern", dict, where)
    if list(pattern) != ["Regex"]:
        raise _unsupported(f"{where}.pattern", pattern, '{"Regex": ...}')
    expression = take(pattern, "Regex", str, f"{where}.pattern")
    # Isolated keeps both matches and gaps, so that inverting it changes nothing. The others drop or join text.
    take(step, "invert", bool, where, False)
    _choose(step, "behavior", ("Isolated",), where)
    compile_for("", expression)
    return Splitter(expression)


def read_added_tokens(section: Any, vocab: Mapping[str, int]) -> list[AddedToken]:
    """The added tokens, in the order of the file.

    Raises FileFormatError for one that strips its neighbors, matches whole words only, or has an id that is taken.
    """
    tokens: dict[str, AddedToken] = {}
    owner = {index: token for token, index in vocab.items()}
    for position, entry in enumerate(take({"added_tokens": section}, "added_tokens", list, "document")):
        where = f"added_tokens[{position}]"
        _check_names(entry, {"id", "content", "single_word", "lstrip", "rstrip", "normalized", "special"}, where)
        content, index = take(entry, "content", str, where), take(entry, "id", int, where)
        for name in ("single_word", "lstrip", "rstrip"):
            if take(entry, name, bool, where, False):
                raise _unsupported(f"{where}.{name}", True, "false")
        if not content or index < 0:
            raise FileFormatError(f"{where}: content {content!r}, id {index}; content is not empty and ids start at 0")
        if vocab.get(content, index) != index or owner.setdefault(index, content) != content:
            raise FileFormatError(
                f"{where}: {content!r} has id {index}, which contradicts the vocabulary or another entry"
            )
        if content in tokens:
            raise FileFormatError(f"{where}: {content!r} is given twice")
        special = take(entry, "special", bool, where)
        tokens[content] = AddedToken(content, index, special, take(entry, "normalized", bool, where, not special))
    return list(tokens.values())


def read_template(section: Any, added: Mapping[str, int]) -> tuple[list[int], list[int]]:
    """The ids that the post-processor puts before and after every text.

    Raises FileFormatError for a post-processor that is neither ByteLevel nor a template around one text.
    """
    known = set(added.values())
    before: list[int] = []
    after: list[int] = []
    for step in _flatten(section, "processors", "post_processor"):
        where = "post_processor"
        kind = take(step, "type", str, where)
        if kind == "ByteLevel":  # it moves offsets, no ids
            continue
        if kind != "TemplateProcessing":
            raise _unsupported(where, kind, "ByteLevel, TemplateProcessing")
        _check_names(step, {"type", "single", "pair", "special_tokens"}, where)
        names = take(step, "special_tokens", dict, where)
        parts: list[list[int]] = [[]]
        for piece in take(step, "single", list, where):
            if not isinstance(piece, dict) or len(piece) != 1:
                raise _unsupported(f"{where}.single", piece, "special tokens around one sequence A")
            if "Sequence" in piece and take(piece["Sequence"], "id", str, where) == "A":
                parts.append([])
            elif "SpecialToken" in piece:
                name = take(piece["SpecialToken"], "id", str, where)
                parts[-1] += _template_ids(take(names, name, dict, f"{where}.special_tokens"), known, where)
            else:
                raise _unsupported(f"{where}.single", piece, "special tokens around one sequence A")
        if len(parts) != 2:
            raise _unsupported(f"{where}.single", step["single"], "special tokens around one sequence A")
        before, after = parts[0] + before, after + parts[1]
    return before, after


def _template_ids(entry: Any, known: set[int], where: str) -> list[int]:
    ids = take(entry, "ids", list, where)
    if unknown := [index for index in ids if type(index) is not int or index not in known]:
        raise FileFormatError(f"{where}: id {_show(unknown[0])} belongs to no added token")
    return ids


def check_rest(document: Any) -> None:
    """Check the version, the decoder and the names of the sections. Raises FileFormatError for unsupported ones."""
    sections = {"added_tokens", "pre_tokenizer", "post_processor", "model"}
    _check_names(document, {"version", "truncation", "padding", "normalizer", "decoder", *sections}, "document")
    if (version := take(document, "version", str, "document", "1.0")) != "1.0":
        raise _unsupported("version", version, "'1.0'")
    decoder = _flatten(document.get("decoder"), "decoders", "decoder")
    if [take(step, "type", str, "decoder") for step in decoder] != ["ByteLevel"]:
        raise _unsupported("decoder", document.get("decoder"), "ByteLevel")


def read_normalizer(section: Any) -> bool:
    """Whether texts are brought to Unicode's normal form C. Raises FileFormatError for any other normalizer."""
    steps = _flatten(section, "normalizers", "normalizer")
    return bool([_choose(step, "type", ("NFC",), "normalizer") for step in steps])


def read_truncation(section: Any, around: int) -> tuple[int | None, bool]:
    """The most ids that a text gives (None for any number), `around` of them the template's; whether the last are kept.

    Raises FileFormatError for a strategy that cuts a second text, and for less room than the template needs.
    """
    if section is None:
        return None, False
    _check_names(section, {"direction", "max_length", "strategy", "stride"}, "truncation")
    _choose(section, "strategy", ("LongestFirst", "OnlyFirst"), "truncation")
    if (length := take(section, "max_length", int, "truncation")) < around:
        raise FileFormatError(f"truncation.max_length: got {length}; the template alone has {around} ids")
    return length, _choose(section, "direction", ("Left", "Right"), "truncation") == "Left"


def read_padding(section: Any) -> tuple[int | None, int | None, int, bool]:
    """What ids are filled up with (None: not at all), to which length (None: the longest of a batch's), rounded up to a
    multiple of which, and whether on the left. Raises FileFormatError for numbers out of range.
    """
    if section is None:
        return None, None, 1, False
    names = {"strategy", "direction", "pad_to_multiple_of", "pad_id", "pad_type_id", "pad_token"}
    _check_names(section, names, "padding")
    fixed = isinstance(section.get("strategy"), Mapping)
    length = take(section["strategy"], "Fixed", int, "padding.strategy") if fixed else None
    if not fixed:
        _choose(section, "strategy", ("BatchLongest",), "padding")
    multiple = take(section, "pad_to_multiple_of", int, "padding") if section.get("pad_to_multiple_of") else 1
    pad_id = take(section, "pad_id", int, "padding")
    if pad_id < 0 or multiple < 1 or max(multiple, length or 0) > MAX_LENGTH:
        raise FileFormatError(f"padding: got {_show(dict(section))}; one of its numbers is out of range")
    return pad_id, length, multiple, _choose(section, "direction", ("Left", "Right"), "padding") == "Left"


def _choose(section: Any, name: str, supported: tuple[str, ...], where: str) -> str:
    if (found := take(section, name, str, where)) not in supported:
        raise _unsupported(f"{where}.{name}", found, ", ".join(supported))
    return found
