"""What a `tokenizer.json` says, read strictly: every setting is either carried out or refused, never passed over."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from tinytorch.tokenizers.patterns import GPT2_PATTERN, compile_for

T = TypeVar("T")


@dataclass(frozen=True)
class Splitter:
    """One step of pre-tokenisation: a space put before the text where it lacks one, then a cut at every match."""

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

    Raises:
        ValueError: when the section is no object, or the field is missing or of another type.
    """
    if not isinstance(section, Mapping):
        raise ValueError(f"{where}: got {_shown(section)}; it must be a JSON object")
    if name not in section and default is not None:
        return default
    found = section.get(name)
    if not isinstance(found, kind) or (kind is int and isinstance(found, bool)):
        seen = _shown(found) if name in section else "nothing"
        raise ValueError(f"{where}.{name}: got {seen}; it must be of type {kind.__name__}")
    return found


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _refuse(where: str, seen: Any, supported: str) -> ValueError:
    return ValueError(f"{where}: {_shown(seen)} is not supported\nSupported: {supported}")


def _known(section: Any, names: set[str], where: str) -> None:
    unknown = set(take({"section": section}, "section", dict, where)) - names
    if unknown:
        raise _refuse(where, min(unknown), ", ".join(sorted(names)))


def _flattened(section: Any, members: str, where: str) -> list[Any]:
    """The steps of a section: none for null, the members of a Sequence, else the section itself."""
    if section is None:
        return []
    if take(section, "type", str, where) != "Sequence":
        return [section]
    _known(section, {"type", members}, where)
    nested = take(section, members, list, where)
    return [step for index, member in enumerate(nested) for step in _flattened(member, members, f"{where}[{index}]")]


def read_vocab(model: Any) -> dict[str, int]:
    """The model's vocabulary, ids checked.

    Raises:
        ValueError: for ids that are negative, not integers or given twice.
    """
    vocab: dict[str, int] = dict(take(model, "vocab", dict, "model"))
    for token, index in vocab.items():
        if type(index) is not int or index < 0:
            raise ValueError(f"model.vocab: token {token!r} has id {_shown(index)}; ids are integers from 0 on")
    if len(set(vocab.values())) < len(vocab):
        owner: dict[int, str] = {}
        for token, index in vocab.items():
            if owner.setdefault(index, token) != token:
                raise ValueError(f"model.vocab: {owner[index]!r} and {token!r} share the id {index}")
    return vocab


def read_merges(model: Any) -> list[tuple[str, str]]:
    """The model's merges, written as pairs or, as older files do, as strings with one space.

    Raises:
        ValueError: for a merge of any other form.
    """
    merges = []
    for rank, merge in enumerate(take(model, "merges", list, "model")):
        pair = merge.split(" ") if isinstance(merge, str) else merge
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(token, str) for token in pair):
            raise ValueError(f"model.merges[{rank}]: got {_shown(merge)}; a merge is two tokens")
        merges.append((pair[0], pair[1]))
    return merges


def read_model_settings(model: Any, complete: bool) -> bool:
    """Check a BPE model's settings; `complete` says that every byte has a token, so that nothing is ever unknown.

    Returns:
        Whether a word that is a token skips the merges.

    Raises:
        ValueError: for a model that is not plain byte-level BPE.
    """
    # Older files leave the type out; only BPE has merges.
    if (kind := take(model, "type", str, "model", "BPE")) != "BPE":
        raise _refuse("model.type", kind, "BPE")
    empty = {"dropout": (None, 0, 0.0), "continuing_subword_prefix": (None, ""), "end_of_word_suffix": (None, "")}
    unknown = {"unk_token": (None,), "fuse_unk": (None, False), "byte_fallback": (None, False)}
    _known(model, {"type", "vocab", "merges", "ignore_merges", *empty, *unknown}, "model")
    for name, allowed in (empty if complete else empty | unknown).items():
        if model.get(name) not in allowed:
            raise _refuse(f"model.{name}", model[name], f"{allowed[0]!r}, with a token for each of the 256 bytes")
    return take(model, "ignore_merges", bool, "model", False)


def read_splitters(section: Any) -> list[Splitter]:
    """The steps of pre-tokenisation, the last of which must be ByteLevel.

    Raises:
        ValueError: for a step that is not ByteLevel, Digits or an isolating Split.
    """
    steps = _flattened(section, "pretokenizers", "pre_tokenizer")
    splitters = []
    for index, step in enumerate(steps):
        where = f"pre_tokenizer step {index}"
        kind = take(step, "type", str, where)
        if (kind == "ByteLevel") != (index == len(steps) - 1):
            raise _refuse(where, kind, "any number of Split and Digits, then ByteLevel as the last one")
        if kind == "ByteLevel":
            _known(step, {"type", "add_prefix_space", "trim_offsets", "use_regex"}, where)
            pattern = GPT2_PATTERN if take(step, "use_regex", bool, where, True) else None
            splitters.append(Splitter(pattern, take(step, "add_prefix_space", bool, where)))
        elif kind == "Digits":
            _known(step, {"type", "individual_digits"}, where)
            splitters.append(Splitter(r"\p{N}" if take(step, "individual_digits", bool, where) else r"\p{N}+"))
        elif kind == "Split":
            splitters.append(_read_split(step, where))
        else:
            raise _refuse(where, kind, "ByteLevel, Digits, Split")
    if not steps:
        raise _refuse("pre_tokenizer", section, "ByteLevel, alone or after Split and Digits")
    return splitters


def _read_split(step: Any, where: str) -> Splitter:
    _known(step, {"type", "pattern", "behavior", "invert"}, where)
    pattern = take(step, "pattern", dict, where)
    if list(pattern) != ["Regex"]:
        raise _refuse(f"{where}.pattern", pattern, '{"Regex": ...}')
    expression = take(pattern, "Regex", str, f"{where}.pattern")
    # Isolated keeps matches and gaps alike, so that inverting it changes nothing. The others drop or join text.
    take(step, "invert", bool, where, False)
    if (behavior := take(step, "behavior", str, where)) != "Isolated":
        raise _refuse(f"{where}.behavior", behavior, "Isolated")
    compile_for("", expression)
    return Splitter(expression)


def read_added_tokens(section: Any, vocab: Mapping[str, int]) -> list[AddedToken]:
    """The added tokens, in the order of the file.

    Raises:
        ValueError: for one that strips its neighbours or matches whole words only, or whose id is taken.
    """
    tokens: list[AddedToken] = []
    owner = {index: token for token, index in vocab.items()}
    for position, entry in enumerate(take({"added_tokens": section}, "added_tokens", list, "document")):
        where = f"added_tokens[{position}]"
        _known(entry, {"id", "content", "single_word", "lstrip", "rstrip", "normalized", "special"}, where)
        content, index = take(entry, "content", str, where), take(entry, "id", int, where)
        for name in ("single_word", "lstrip", "rstrip"):
            if take(entry, name, bool, where, False):
                raise _refuse(f"{where}.{name}", True, "false")
        if not content or index < 0:
            raise ValueError(f"{where}: content {content!r}, id {index}; content is not empty and ids start at 0")
        if vocab.get(content, index) != index or owner.setdefault(index, content) != content:
            raise ValueError(f"{where}: {content!r} has id {index}, which contradicts the vocabulary or another entry")
        if any(content == token.content for token in tokens):
            raise ValueError(f"{where}: {content!r} is given twice")
        special = take(entry, "special", bool, where)
        tokens.append(AddedToken(content, index, special, take(entry, "normalized", bool, where, not special)))
    return tokens


def read_template(section: Any, added: Mapping[str, int]) -> tuple[list[int], list[int]]:
    """The ids that the post-processor puts before and after every text.

    Raises:
        ValueError: for a post-processor that is neither ByteLevel nor a template around one text.
    """
    before: list[int] = []
    after: list[int] = []
    for step in _flattened(section, "processors", "post_processor"):
        where = "post_processor"
        kind = take(step, "type", str, where)
        if kind == "ByteLevel":  # it moves offsets, no ids
            continue
        if kind != "TemplateProcessing":
            raise _refuse(where, kind, "ByteLevel, TemplateProcessing")
        _known(step, {"type", "single", "pair", "special_tokens"}, where)
        names = take(step, "special_tokens", dict, where)
        parts: list[list[int]] = [[]]
        for piece in take(step, "single", list, where):
            if not isinstance(piece, dict) or len(piece) != 1:
                raise _refuse(f"{where}.single", piece, "special tokens around one sequence A")
            if "Sequence" in piece and take(piece["Sequence"], "id", str, where) == "A":
                parts.append([])
            elif "SpecialToken" in piece:
                name = take(piece["SpecialToken"], "id", str, where)
                parts[-1] += _template_ids(take(names, name, dict, f"{where}.special_tokens"), added, where)
            else:
                raise _refuse(f"{where}.single", piece, "special tokens around one sequence A")
        if len(parts) != 2:
            raise _refuse(f"{where}.single", step["single"], "special tokens around one sequence A")
        before, after = parts[0] + before, after + parts[1]
    return before, after


def _template_ids(entry: Any, added: Mapping[str, int], where: str) -> list[int]:
    ids = take(entry, "ids", list, where)
    if unknown := [index for index in ids if type(index) is not int or index not in added.values()]:
        raise ValueError(f"{where}: id {_shown(unknown[0])} belongs to no added token")
    return ids


def check_rest(document: Any) -> None:
    """Check the sections of which only one value is supported.

    Raises:
        ValueError: for any other value.
    """
    sections = {"added_tokens", "pre_tokenizer", "post_processor", "model"}
    _known(document, {"version", "truncation", "padding", "normalizer", "decoder", *sections}, "document")
    if (version := take(document, "version", str, "document", "1.0")) != "1.0":
        raise _refuse("version", version, "'1.0'")
    for name in ("truncation", "padding"):
        if document.get(name) is not None:
            raise _refuse(name, document[name], "null; cut and pad the ids yourself")
    if _flattened(document.get("normalizer"), "normalizers", "normalizer"):
        raise _refuse("normalizer", document["normalizer"], "null, for normalised text does not come back as it was")
    decoder = _flattened(document.get("decoder"), "decoders", "decoder")
    if [take(step, "type", str, "decoder") for step in decoder] != ["ByteLevel"]:
        raise _refuse("decoder", document.get("decoder"), "ByteLevel")
