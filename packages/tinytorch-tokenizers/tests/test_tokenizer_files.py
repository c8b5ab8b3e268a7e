import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinytorch.tensor import FileFormatError
from tinytorch.tokenizers import BPETokenizer
from tinytorch.tokenizers.files import read_json, write_text

Change = Callable[[dict[str, Any]], object]
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
CUT = {"direction": "Right", "max_length": 5, "strategy": "LongestFirst", "stride": 0}
PAD = {"strategy": "BatchLongest", "direction": "Right", "pad_id": 3, "pad_type_id": 0, "pad_token": "<pad>"}
SLOW = {"Regex": r"(\p{L}+)+!"}
TOKEN = {"id": 400, "content": "<x>", "special": True}


def nested(members: str) -> dict[str, Any]:
    """A Sequence of a Sequence of a Sequence, as deep as JSON can be read."""
    section: dict[str, Any] = {"type": "Sequence", members: []}
    for _ in range(400):
        section = {"type": "Sequence", members: [section]}
    return section


def split_step(**changes: object) -> dict[str, Any]:
    return {"type": "Split", "pattern": {"Regex": "a"}, "behavior": "Isolated", "invert": False, **changes}


def template(*single: object, **names: object) -> dict[str, Any]:
    return {"type": "TemplateProcessing", "single": list(single), "pair": [], "special_tokens": names}


REFUSED: list[tuple[str, Change]] = [
    ("version", lambda d: d.update(version="2.0")),
    ("document", lambda d: d.update(extra=1)),
    ("truncation.strategy", lambda d: d.update(truncation={"max_length": 5})),
    ("strategy: 'OnlySecond'", lambda d: d.update(truncation={**CUT, "strategy": "OnlySecond"})),
    ("truncation.direction: 'Up'", lambda d: d.update(truncation={**CUT, "direction": "Up"})),
    ("truncation: 'new'", lambda d: d.update(truncation={**CUT, "new": 1})),
    ("max_length: got -1; the template alone has 0", lambda d: d.update(truncation={**CUT, "max_length": -1})),
    ("padding.pad_id", lambda d: d.update(padding={"strategy": "BatchLongest"})),
    ("padding.strategy: 'Longest'", lambda d: d.update(padding={**PAD, "strategy": "Longest"})),
    ("padding.strategy.Fixed", lambda d: d.update(padding={**PAD, "strategy": {"Fixed": "5"}})),
    ("padding.direction: 'Up'", lambda d: d.update(padding={**PAD, "direction": "Up"})),
    ("padding: .* out of range", lambda d: d.update(padding={**PAD, "pad_id": -1})),
    ("padding: .* out of range", lambda d: d.update(padding={**PAD, "pad_to_multiple_of": -8})),
    ("padding: .* out of range", lambda d: d.update(padding={**PAD, "strategy": {"Fixed": 1 << 40}})),
    ("normalizer.type: 'NFKC'", lambda d: d.update(normalizer={"type": "NFKC"})),
    ("nested too deeply", lambda d: d.update(pre_tokenizer=nested("pretokenizers"))),
    ("nested too deeply", lambda d: d.update(post_processor=nested("processors"))),
    ("nested too deeply", lambda d: d.update(normalizer=nested("normalizers"))),
    ("nested too deeply", lambda d: d.update(decoder=nested("decoders"))),
    (r"more than 1,185,921 ways", lambda d: d.update(pre_tokenizer=sequence(split_step(pattern=SLOW), BYTE_LEVEL))),
    ("normalizer", lambda d: d.update(normalizer={"type": "Sequence", "normalizers": [{"type": "Lowercase"}]})),
    ("decoder", lambda d: d.update(decoder=None)),
    ("decoder", lambda d: d.update(decoder={"type": "WordPiece"})),
    ("decoder", lambda d: d.update(decoder="ByteLevel")),
    ("pre_tokenizer", lambda d: d.update(pre_tokenizer=None)),
    ("pre_tokenizer step 0", lambda d: d.update(pre_tokenizer={"type": "Whitespace"})),
    ("pre_tokenizer step 0.add_prefix_space", lambda d: d.update(pre_tokenizer={"type": "ByteLevel"})),
    ("pre_tokenizer step 0", lambda d: d.update(pre_tokenizer={**BYTE_LEVEL, "new": True})),
    ("pre_tokenizer step 0", lambda d: d.update(pre_tokenizer=split_step())),
    ("ByteLevel as the last", lambda d: d.update(pre_tokenizer=sequence(BYTE_LEVEL, BYTE_LEVEL))),
    ("behavior", lambda d: d.update(pre_tokenizer=sequence(split_step(behavior="Removed"), BYTE_LEVEL))),
    ("invert", lambda d: d.update(pre_tokenizer=sequence(split_step(invert=1), BYTE_LEVEL))),
    ("pattern", lambda d: d.update(pre_tokenizer=sequence(split_step(pattern={"String": "a"}), BYTE_LEVEL))),
    (r"\\p{Lu}", lambda d: d.update(pre_tokenizer=sequence(split_step(pattern={"Regex": r"\p{Lu}"}), BYTE_LEVEL))),
    ("pretokenizers", lambda d: d.update(pre_tokenizer={"type": "Sequence"})),
    ("post_processor", lambda d: d.update(post_processor={"type": "RobertaProcessing"})),
    ("post_processor.single", lambda d: d.update(post_processor=template())),
    ("post_processor.single", lambda d: d.update(post_processor=template({"Sequence": {"id": "B"}}))),
    ("single", lambda d: d.update(post_processor=template({"Sequence": {"id": "A"}}, {"Sequence": {"id": "A"}}))),
    ("special_tokens.<x>", lambda d: d.update(post_processor=template({"SpecialToken": {"id": "<x>"}}))),
    ("no added token", lambda d: d.update(post_processor=template({"SpecialToken": {"id": "x"}}, x={"ids": [399]}))),
    ("added_tokens", lambda d: d.update(added_tokens={})),
    ("lstrip", lambda d: d["added_tokens"].append({**TOKEN, "lstrip": True})),
    ("rstrip", lambda d: d["added_tokens"].append({**TOKEN, "rstrip": True})),
    ("single_word", lambda d: d["added_tokens"].append({**TOKEN, "single_word": True})),
    ("contradicts", lambda d: d["added_tokens"].append({**TOKEN, "id": 5})),
    ("contradicts", lambda d: d["added_tokens"].append({**TOKEN, "content": "a"})),
    ("given twice", lambda d: d["added_tokens"].append(d["added_tokens"][0])),
    ("not empty", lambda d: d["added_tokens"].append({**TOKEN, "content": ""})),
    ("got -1|id -1", lambda d: d["added_tokens"].append({**TOKEN, "id": -1})),
    ("special", lambda d: d["added_tokens"].append({"id": 400, "content": "<x>"})),
    ("got '400'", lambda d: d["added_tokens"].append({**TOKEN, "id": "400"})),
    ("model: got", lambda d: d.update(model=None)),
    ("model.type", lambda d: d["model"].update(type="WordPiece")),
    ("model.dropout", lambda d: d["model"].update(dropout=0.1)),
    ("continuing_subword_prefix", lambda d: d["model"].update(continuing_subword_prefix="##")),
    ("end_of_word_suffix", lambda d: d["model"].update(end_of_word_suffix="</w>")),
    ("unk_token", lambda d: drop(d, "z")["model"].update(unk_token="<x>")),
    ("byte_fallback", lambda d: drop(d, "z")["model"].update(byte_fallback=True)),
    ("model: 'new'", lambda d: d["model"].update(new=1)),
    ("ignore_merges", lambda d: d["model"].update(ignore_merges=None)),
    ("model.vocab", lambda d: d["model"].pop("vocab")),
    ("model.vocab: token 'a' has id -1", lambda d: d["model"]["vocab"].update(a=-1)),
    ("has id True", lambda d: d["model"]["vocab"].update(a=True)),
    ("share the id", lambda d: d["model"]["vocab"].update(a=d["model"]["vocab"]["b"])),
    (r"model.merges\[0\]", lambda d: d["model"].update(merges=["a b c"])),
    (r"model.merges\[0\]", lambda d: d["model"].update(merges=[["a", 1]])),
    ("no token 'zz'", lambda d: d["model"]["merges"].append(["z", "z"])),
    ("no token 'zq'", lambda d: d["model"]["merges"].append(["zq", "z"])),
]


def sequence(*steps: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Sequence", "pretokenizers": list(steps)}


def drop(document: dict[str, Any], token: str) -> dict[str, Any]:
    model = document["model"]
    model["merges"] = [merge for merge in model["merges"] if token not in "".join(merge)]
    model["vocab"] = {name: index for name, index in model["vocab"].items() if token not in name}
    return document


@pytest.mark.parametrize(("message", "change"), REFUSED)
def test_what_is_not_carried_out_is_refused(message: str, change: Change, golden: Path, tmp_path: Path) -> None:
    document = json.loads((golden / "gpt2.tokenizer.json").read_text(encoding="utf-8"))
    change(document)
    path = tmp_path / "changed.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(FileFormatError, match=message) as caught:
        BPETokenizer.load(path)
    assert "changed.json" in str(caught.value)
    assert str(caught.value).count("\n") <= 1


def places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Where something stands in a JSON document, long collections only by their first entries."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, child in list(children)[:8] for place in places(child, (*path, key)))]


@given(data=st.data())
def test_any_wrong_value_anywhere_is_a_clear_error_or_no_matter(golden: Path, data: st.DataObject) -> None:
    document = json.loads((golden / "llama3.tokenizer.json").read_text(encoding="utf-8"))
    *path, last = data.draw(st.sampled_from(places(document)[1:]))
    parent = document
    for key in path:
        parent = parent[key]
    parent[last] = data.draw(
        st.sampled_from([None, True, -1, 0, 10**30, 1.5, "", "x", "\ud800", [], [[]], {}, {"x": 1}])
    )
    try:
        tokenizer = BPETokenizer(document)
    except ValueError:
        return
    back = tokenizer.decode(tokenizer.encode("a text"), skip_special_tokens=True)
    assert back in ("a text", " a text")  # the file may ask for a space before every text


def test_harmless_settings_are_accepted(golden: Path) -> None:
    document = json.loads((golden / "gpt2.tokenizer.json").read_text(encoding="utf-8"))
    expected = BPETokenizer(document).encode("What color is the sky?")
    document["normalizer"] = {"type": "Sequence", "normalizers": []}
    document["decoder"] = {"type": "Sequence", "decoders": [document["decoder"]]}
    document["pre_tokenizer"] = sequence(document["pre_tokenizer"])
    document["model"] |= {
        "continuing_subword_prefix": "",
        "end_of_word_suffix": "",
        "dropout": 0.0,
        "unk_token": "<pad>",
    }
    assert BPETokenizer(document).encode("What color is the sky?") == expected


def test_a_byte_without_a_token_is_an_error_and_never_dropped(golden: Path) -> None:
    document = json.loads((golden / "gpt2.tokenizer.json").read_text(encoding="utf-8"))
    drop(document, "z")
    tokenizer = BPETokenizer(document)
    assert tokenizer.decode(tokenizer.encode("lay")) == "lay"
    with pytest.raises(ValueError, match="no token of this vocabulary spells the byte 0x7a"):
        tokenizer.encode("lazy")


def test_the_document_given_is_not_changed_nor_kept(golden: Path, tmp_path: Path) -> None:
    document = json.loads((golden / "gpt2.tokenizer.json").read_text(encoding="utf-8"))
    before = json.dumps(document)
    tokenizer = BPETokenizer(document)
    assert json.dumps(document) == before
    document["added_tokens"].clear()
    document["model"]["vocab"].clear()
    tokenizer.save(tmp_path / "kept.json")
    assert (tmp_path / "kept.json").read_bytes() == (golden / "gpt2.tokenizer.json").read_bytes()


class Content(str):
    """The content of an added token that counts how often it is compared."""

    compared = 0
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        Content.compared += 1
        return str.__eq__(self, other)


def test_each_of_many_added_tokens_is_compared_a_few_times_only(golden: Path) -> None:
    document = json.loads((golden / "gpt2.tokenizer.json").read_text(encoding="utf-8"))
    more = [{**TOKEN, "id": 500 + number, "content": Content(f"<{number}>")} for number in range(2000)]
    document["added_tokens"] += more
    Content.compared = 0
    tokenizer = BPETokenizer(document)
    assert Content.compared < 20 * len(more)
    assert tokenizer.encode("<7><1999>") == [507, 2499]


def test_names_may_be_as_long_as_the_file_system_allows(tokenizer: BPETokenizer, tmp_path: Path) -> None:
    path = tmp_path / ("n" * 245 + ".json")
    tokenizer.save(path)
    assert BPETokenizer.load(path).vocab == tokenizer.vocab


def test_holes_between_ids_are_kept(tmp_path: Path) -> None:
    vocab = {token: 2 * index for token, index in BPETokenizer.train([], 256).vocab.items()}
    tokenizer = BPETokenizer.from_merges(vocab, [])
    tokenizer.save(tmp_path)
    loaded = BPETokenizer.load(tmp_path)
    assert loaded.vocab == vocab
    assert loaded.vocab_size == 511
    with pytest.raises(ValueError, match="1 is not an id"):
        loaded.decode([1])


@pytest.mark.parametrize("content", ["", "{", '{"a": 1', "[]", "null", "3", '{"a": 1, "a": 2}', "[" * 100_000, "\x00"])
def test_malformed_json_is_refused_by_name(content: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(FileFormatError, match=r"broken\.json"):
        BPETokenizer.load(path)
    with pytest.raises(FileFormatError, match=r"broken\.json"):
        BPETokenizer.load_gpt2(path, path)


@given(cut=st.integers(0, 14_000))
def test_a_truncated_file_is_refused(golden: Path, tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    path = tmp_path_factory.getbasetemp() / "cut.json"
    path.write_bytes((golden / "gpt2.tokenizer.json").read_bytes()[:cut])
    with pytest.raises(FileFormatError, match=r"cut\.json"):
        BPETokenizer.load(path)


def test_files_that_are_not_text_or_too_large_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "big.json"
    path.write_bytes(b'"\xff"')
    with pytest.raises(ValueError, match="not UTF-8 text"):
        BPETokenizer.load(path)
    with pytest.raises(ValueError, match="larger than 2 bytes"):
        read_json(path, limit=2)
    with pytest.raises(FileNotFoundError, match="missing"):
        BPETokenizer.load(tmp_path / "missing.json")


@pytest.mark.parametrize("merges", ["#version: 0.2\na b c\n", "a\n", "a b\n\nb c\n", "a  b\n", "q zz\n"])
def test_malformed_merges_are_refused_by_name(merges: str, golden: Path, tmp_path: Path) -> None:
    (tmp_path / "merges.txt").write_text(merges, encoding="utf-8")
    with pytest.raises(FileFormatError, match=r"merges\.txt"):
        BPETokenizer.load_gpt2(golden / "vocab.json", tmp_path / "merges.txt")


def test_a_pair_with_windows_line_ends_reads_the_same(golden: Path, tmp_path: Path) -> None:
    (tmp_path / "merges.txt").write_bytes((golden / "merges.txt").read_bytes().replace(b"\n", b"\r\n"))
    windows = BPETokenizer.load_gpt2(golden / "vocab.json", tmp_path / "merges.txt")
    assert windows._merges == BPETokenizer.load(golden / "gpt2.tokenizer.json")._merges


@pytest.mark.parametrize(("name", "section"), [("padding", PAD), ("truncation", CUT), ("normalizer", {"type": "NFC"})])
def test_a_pair_has_no_place_for_a_section_of_the_document(
    golden: Path, tmp_path: Path, name: str, section: dict[str, Any]
) -> None:
    tokenizer = BPETokenizer({**read_json(golden / "gpt2.tokenizer.json"), name: section})
    with pytest.raises(ValueError, match=f"cannot hold this tokenizer's {name}; use save"):
        tokenizer.save_gpt2(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["llama3", "digits"])
def test_a_pair_that_would_lose_something_is_not_written(golden: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="the pair of files cannot hold"):
        BPETokenizer.load(golden / f"{name}.tokenizer.json").save_gpt2(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "tokenizer.json"
    write_text(path, "old")

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        write_text(path, "new")
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.name != "posix", reason="POSIX permissions and links")
def test_writing_keeps_permissions_and_links(tmp_path: Path) -> None:
    path, link = tmp_path / "file.json", tmp_path / "link.json"
    write_text(path, "old")
    path.chmod(0o640)
    link.symlink_to(path)
    write_text(link, "new")
    assert link.is_symlink()
    assert path.read_text(encoding="utf-8") == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_document_is_what_save_writes_and_a_copy(tmp_path: Path) -> None:
    tokenizer = BPETokenizer.train(["low lower lowest"], vocab_size=260, special_tokens=["<eos>"])
    tokenizer.save(tmp_path / "tokenizer.json")
    document = tokenizer.document
    assert json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8")) == document
    document["model"]["merges"].clear()
    document["added_tokens"].clear()
    document["pre_tokenizer"].clear()
    assert tokenizer.document != document
    assert BPETokenizer(tokenizer.document).encode("lowest<eos>") == tokenizer.encode("lowest<eos>")
