"""GGUF files are read as they were written, by this program and by the gguf library, and files that lie are refused."""

from __future__ import annotations

import struct
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_array_equal

from tinytorch.quantization import load_gguf, read_gguf, write_gguf
from tinytorch.quantization.gguf.blocks import FORMATS, decode, encode
from tinytorch.tensor import FileFormatError, Tensor

GOLDEN = Path(__file__).parent / "golden" / "gguf"
anywhere = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)


def test_every_type_is_read_as_the_library_reads_it() -> None:
    expected = np.load(GOLDEN / "types.npz")
    with read_gguf(GOLDEN / "types.gguf") as file:
        assert set(file) == set(expected)
        for name in file:
            assert file.types[name] == name
            assert file[name].dtype == expected[name].dtype
            np.testing.assert_array_equal(file[name], expected[name], err_msg=name)


def test_metadata_of_every_type() -> None:
    with read_gguf(GOLDEN / "types.gguf") as file:
        said = {name.removeprefix("types."): value for name, value in file.metadata.items() if "types." in name}
    lists = {name: said.pop(name) for name in ("words", "numbers", "reals")}
    assert said == {
        "uint8": 200, "int8": -100, "uint16": 60000, "int16": -30000, "uint32": 4 * 10**9, "int32": -2 * 10**9,
        "uint64": 2**63, "int64": -(2**62), "float32": 0.5, "float64": 0.1, "bool": True, "string": "Größe 猫",
    }  # fmt: skip
    assert type(said["bool"]) is bool
    assert lists["words"] == ["", "ä", "longer words"]
    assert (lists["numbers"].dtype, lists["numbers"].tolist()) == (np.dtype("int32"), [1, -2, 3])
    assert (lists["reals"].dtype, lists["reals"].tolist()) == (np.dtype("float32"), [0.5, -1.5])


names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
scalars = st.one_of(
    st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(allow_nan=False), st.text(st.characters(codec="utf-8")),
    st.lists(st.text(st.characters(codec="utf-8"), max_size=8), max_size=5),
)  # fmt: skip
arrays = hnp.arrays(
    st.sampled_from([np.dtype(kind) for kind in ("f2", "f4", "f8", "i1", "i2", "i4", "i8")]),
    hnp.array_shapes(min_dims=1, max_dims=4, max_side=5),
)


@anywhere
@given(st.dictionaries(names, scalars, max_size=6), st.dictionaries(names, arrays, max_size=5))
def test_written_is_read(tmp_path: Path, metadata: dict[str, Any], tensors: dict[str, Any]) -> None:
    metadata.pop("general.alignment", None)
    write_gguf(tmp_path / "x.gguf", tensors, metadata)
    with read_gguf(tmp_path / "x.gguf") as file:
        assert file.metadata == metadata
        assert list(map(type, file.metadata.values())) == list(map(type, metadata.values()))
        assert [*file] == [*tensors]
        for name, array in tensors.items():
            assert (file.shapes[name], file[name].dtype) == (array.shape, array.dtype)
            np.testing.assert_array_equal(file[name], array)


def test_numbers_of_numpy_keep_their_types(tmp_path: Path) -> None:
    said = {
        "a": np.float64(0.5),
        "b": np.uint8(3),
        "c": np.array([1, 2], ">i8"),
        "d": np.bool_(True),
        "e": 0.1,
        "f": [1],
    }
    write_gguf(tmp_path / "x.gguf", {"x": Tensor([1.0])}, said)
    data = (tmp_path / "x.gguf").read_bytes()
    kinds = {name: data[data.index(b"\1\0\0\0\0\0\0\0" + name.encode()) + 9] for name in said}
    assert kinds == {"a": 12, "b": 0, "c": 9, "d": 7, "e": 12, "f": 9}
    with read_gguf(tmp_path / "x.gguf") as file:
        assert (file.metadata["c"].dtype, file.metadata["f"].dtype) == (np.dtype("i8"), np.dtype("u4"))


weights = hnp.arrays(np.float32, (3, 64), elements=st.floats(-1000, 1000, width=32))


@given(weights)
def test_q8_0_is_within_half_a_step(x: Any) -> None:
    blocks = encode("Q8_0", x)
    error = np.abs(decode("Q8_0", blocks) - x.reshape(-1)).reshape(-1, 32)
    step = np.abs(x).reshape(-1, 32).max(axis=1) / 127
    assert (error.max(axis=1) <= step * (0.5 + 127 * 2**-11 + 1e-3) + 2**-24 * 127).all()
    assert blocks["d"].dtype == np.float16 and (np.abs(blocks["q"].astype(int)) <= 127).all()


@given(weights)
def test_q4_0_is_within_a_step(x: Any) -> None:
    error = np.abs(decode("Q4_0", encode("Q4_0", x)) - x.reshape(-1)).reshape(-1, 32)
    step = np.abs(x).reshape(-1, 32).max(axis=1) / 8
    assert (error.max(axis=1) <= step * (1 + 8 * 2**-11 + 1e-3) + 2**-24 * 8).all()  # one step where 8 would be needed


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    items = np.random.default_rng(0).integers(0, 100, 210 * 9, np.uint8).view(FORMATS["Q6_K"].dtype)
    whole = decode("Q6_K", items)
    monkeypatch.setattr("tinytorch.quantization.gguf.blocks.CHUNK", 2)
    np.testing.assert_array_equal(decode("Q6_K", items), whole)


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def made(
    values: bytes = b"", entries: int = 0, tensors: bytes = b"", count: int = 0, numbers: bytes = b"", version: int = 3
) -> bytes:
    head = b"GGUF" + struct.pack("<IQQ", version, count, entries) + values + tensors
    return head + bytes(-len(head) % 32) + numbers


def tensor(name: str = "x", sizes: tuple[int, ...] = (8,), kind: int = 0, offset: int = 0) -> bytes:
    return text(name) + struct.pack(f"<I{len(sizes)}QIQ", len(sizes), *sizes, kind, offset)


def value(name: str, kind: int, data: bytes) -> bytes:
    return text(name) + struct.pack("<I", kind) + data


LIES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "the magic needs 4 bytes and 0 are left"),
    "another format": (b"PK\3\4" + bytes(100), "does not begin with GGUF"),
    "version 1": (made(version=1), "version 1; known are 2 and 3"),
    "version of the future": (made(version=9), "version 9"),
    "big-endian": (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "big-endian"),
    "more tensors than bytes": (made(count=2**63), "9,223,372,036,854,775,808 tensors"),
    "more values than bytes": (made(entries=2**64 - 1), "18,446,744,073,709,551,615 values"),
    "more tensors than the limit": (made(count=2**17, numbers=bytes(2**23)), "65,536 are the limit"),
    "a name beyond the end": (made(struct.pack("<Q", 2**60) + b"x" * 40, 1), "needs 1,152,921,504,606,846,976 bytes"),
    "an empty name": (made(value("", 4, bytes(40)), 1), "the name of a value has 0 characters"),
    "a long name": (made(value("x" * 70000, 4, bytes(40)), 1), "has 70,000 characters"),
    "a name that is no text": (made(struct.pack("<Q", 2) + b"\xff\xfe" + bytes(40), 1), "is not UTF-8 text"),
    "a text beyond the end": (made(value("a", 8, struct.pack("<Q", 10**6) + bytes(40)), 1), "a needs 1,000,000 bytes"),
    "an array beyond the end": (made(value("a", 9, struct.pack("<IQ", 10, 2**61) + bytes(40)), 1), "a needs"),
    "texts beyond the end": (made(value("a", 9, struct.pack("<IQ", 8, 2**40) + bytes(40)), 1), "texts in a"),
    "an array of arrays": (made(value("a", 9, struct.pack("<IQ", 9, 1) + bytes(40)), 1), "is an array of arrays"),
    "a type of values that is not": (made(value("a", 13, bytes(40)), 1), "has the type 13"),
    "a type of items that is not": (made(value("a", 9, struct.pack("<IQ", 99, 1) + bytes(40)), 1), "has the type 99"),
    "a bool of 2": (made(value("a", 7, b"\2" + bytes(40)), 1), "is a bool of 2"),
    "a value twice": (made(value("a", 4, bytes(4)) * 2, 2), "the value 'a' is there twice"),
    "alignment 0": (made(value("general.alignment", 4, bytes(4)), 1), "general.alignment is 0"),
    "alignment 24": (made(value("general.alignment", 4, struct.pack("<I", 24)), 1), "general.alignment is 24"),
    "alignment of a gigabyte": (
        made(value("general.alignment", 4, struct.pack("<I", 2**30)), 1),
        "general.alignment is",
    ),
    "alignment as text": (made(value("general.alignment", 8, text("32")), 1), "general.alignment is '32'"),
    "a tensor twice": (made(tensors=tensor() * 2, count=2, numbers=bytes(99)), "the tensor 'x' is there twice"),
    "no axes": (made(tensors=tensor(sizes=()), count=1, numbers=bytes(99)), "x has 0 axes"),
    "five axes": (made(tensors=tensor(sizes=(1,) * 5), count=1, numbers=bytes(99)), "x has 5 axes"),
    "a billion axes": (made(tensors=text("x") + struct.pack("<I", 10**9) + bytes(99), count=1), "1,000,000,000 axes"),
    "an empty axis": (made(tensors=tensor(sizes=(8, 0)), count=1, numbers=bytes(99)), "and not empty"),
    "a huge tensor": (made(tensors=tensor(sizes=(2**63,) * 4), count=1, numbers=bytes(99)), "cut off or damaged"),
    "a type of tensors that is not": (made(tensors=tensor(kind=4), count=1, numbers=bytes(99)), "x has the type 4"),
    "rows of half a block": (made(tensors=tensor(sizes=(48,), kind=8), count=1, numbers=bytes(99)), "multiples of 32"),
    "an offset beyond the end": (made(tensors=tensor(offset=2**40), count=1, numbers=bytes(99)), "ends at byte"),
    "an offset beside the alignment": (made(tensors=tensor(offset=8), count=1, numbers=bytes(99)), "at offset 8"),
    "overlapping tensors": (
        made(tensors=tensor(sizes=(16,)) + tensor("y", offset=32), count=2, numbers=bytes(99)),
        "y begins within x",
    ),
    "the same numbers twice": (made(tensors=tensor() + tensor("y"), count=2, numbers=bytes(99)), "begins within"),
}


@pytest.mark.parametrize("data, said", LIES.values(), ids=LIES)
def test_a_file_that_lies_is_refused(data: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "lie.gguf"
    path.write_bytes(data)
    with pytest.raises(FileFormatError, match=r"lie\.gguf") as caught:
        read_gguf(path)
    assert said in str(caught.value)
    assert len(str(caught.value)) < 600


def test_errors_are_short_and_do_not_steer_the_terminal(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(made(value("\x1b[31m" + "a" * 60_000, 44, bytes(8)), entries=1))
    with pytest.raises(FileFormatError) as caught:
        read_gguf(tmp_path / "x.gguf")
    assert "\\x1b[31maaa" in str(caught.value) and "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 3000


def test_truth_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(
        made(
            value("general.alignment", 4, struct.pack("<I", 32)),
            1,
            tensor("y", (2, 4), 0, 32) + tensor(),
            2,
            bytes(64),
            2,
        )
    )
    with read_gguf(tmp_path / "x.gguf") as file:
        assert (file.version, file.shapes, file["y"].shape) == (2, {"y": (4, 2), "x": (8,)}, (4, 2))
        assert repr(file) == f"GGUFFile({str(tmp_path / 'x.gguf')!r}: 1 values, 2 tensors)"


small = (GOLDEN / "llama_f16.gguf").read_bytes()
WHOLE = {small: 1_900, (GOLDEN / "gpt2_q8_0.gguf").read_bytes(): 10_000}
"""Files, and in how many bytes their metadata and most of their names are: without a tokenizer, and with one."""


@anywhere
@given(st.integers(0, len(small) - 1))
def test_a_truncated_file_is_refused(tmp_path: Path, size: int) -> None:
    (tmp_path / "cut.gguf").write_bytes(small[:size])
    try:
        load_gguf(tmp_path / "cut.gguf")
    except FileFormatError:
        return
    assert not any(small[size:])  # only padding is missing


edits = st.lists(
    st.tuples(
        st.floats(0, 1),  # where in the header
        st.one_of(
            st.binary(min_size=1, max_size=8),
            st.sampled_from([struct.pack("<Q", n) for n in (0, 1, 2**31, 2**32 - 1, 2**40, 2**62, 2**63, 2**64 - 1)]),
            st.sampled_from([struct.pack("<I", n) for n in (0, 1, 8, 9, 2**31, 2**32 - 1)]),
        ),
    ),
    min_size=1, max_size=4,
)  # fmt: skip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(st.sampled_from([*WHOLE]), edits)
def test_a_damaged_header_is_refused_or_harmless(
    tmp_path: Path, whole: bytes, edits: list[tuple[float, bytes]]
) -> None:
    data = bytearray(whole)
    for share, new in edits:
        place = int(share * WHOLE[whole])
        data[place : place + len(new)] = new
    (tmp_path / "damaged.gguf").write_bytes(data)
    tracemalloc.start()
    try:
        load_gguf(tmp_path / "damaged.gguf")
    except FileFormatError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 8 * len(whole) + 2**20


@pytest.mark.parametrize("limit, said", [("LARGEST_HEADER", "more than 100 bytes"), ("MOST_STRINGS", "are the limit")])
def test_headers_have_a_limit(limit: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"tinytorch.quantization.gguf.container.{limit}", 100)
    with pytest.raises(FileFormatError) as caught:
        read_gguf(GOLDEN / "gpt2_q8_0.gguf")
    assert said in str(caught.value)


def test_a_file_that_is_cut_while_it_is_open(tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(small)
    with read_gguf(path) as file:
        with open(path, "r+b") as other:
            other.truncate(len(small) - 5000)
        with pytest.raises(FileFormatError, match="was cut while it was open"):
            _ = [file[name] for name in file]


def test_threads_read_one_file(tmp_path: Path) -> None:
    wanted = {f"x{i}": np.full(20_000 + i, i, np.float32) for i in range(8)}
    write_gguf(tmp_path / "x.gguf", wanted)
    with read_gguf(tmp_path / "x.gguf") as file, ThreadPoolExecutor(8) as pool:
        names = [*wanted] * 100
        for name, found in zip(names, pool.map(file.__getitem__, names), strict=True):
            assert_array_equal(found, wanted[name])
    with pytest.raises(ValueError, match="is closed"):
        file["x0"]


def test_what_is_not_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match="is a folder"):
        read_gguf(tmp_path)
    with pytest.raises(FileNotFoundError, match="there is no file"):
        read_gguf(tmp_path / "missing.gguf")


def test_a_type_that_is_only_listed(tmp_path: Path) -> None:
    data = made(tensors=tensor(sizes=(256,), kind=10), count=1, numbers=bytes(84))
    (tmp_path / "x.gguf").write_bytes(data)
    with read_gguf(tmp_path / "x.gguf") as file:
        assert file.types == {"x": "Q2_K"}
        with pytest.raises(FileFormatError, match="x is Q2_K, which is not read; known are F32"):
            _ = file["x"]


ones = np.ones((2, 32), np.float32)
REFUSED: dict[str, tuple[Any, Any, Any, type[Exception], str]] = {
    "unknown type": ({"x": ones}, {}, {"x": "Q3_K"}, ValueError, "type is 'Q3_K'"),
    "type for another name": ({"x": ones}, {}, {"y": "F16"}, ValueError, "types names 'y'"),
    "integers as floats": ({"x": np.arange(32)}, {}, {"x": "Q8_0"}, ValueError, "for int64 known are I64"),
    "bools": ({"x": ones > 0}, {}, {}, ValueError, "of bool"),
    "no axes": ({"x": np.float32(1)}, {}, {}, ValueError, "1 to 4 axes"),
    "nothing": ({"x": ones[:0]}, {}, {}, ValueError, "1 to 4 axes"),
    "half a block": (
        {"x": ones[:, :16]},
        {},
        {"x": "Q4_0"},
        ValueError,
        "rows of 16 numbers; Q4_0 stores blocks of 32",
    ),
    "not finite": ({"x": ones * np.nan}, {}, {"x": "Q8_0"}, ValueError, "x: Q8_0 cannot hold these numbers"),
    "too large": ({"x": ones * 1e5}, {}, {"x": "F16"}, ValueError, "up to 100000"),
    "too large a scale": ({"x": ones * 1e8}, {}, {"x": "Q8_0"}, ValueError, "Q8_0 cannot hold"),
    "empty name": ({"": ones}, {}, {}, ValueError, "1 to 65,535"),
    "name that is no text": ({"x": ones}, {1: 2}, {}, TypeError, "must be text"),
    "value that is none": ({"x": ones}, {"a": None}, {}, TypeError, "a value is a number"),
    "nested lists": ({"x": ones}, {"a": [[1]]}, {}, TypeError, "a flat list"),
    "too large an integer": ({"x": ones}, {"a": 2**64}, {}, TypeError, "8 to 64 bits"),
    "another alignment": ({"x": ones}, {"general.alignment": 64}, {}, ValueError, "32 is written"),
}


@pytest.mark.parametrize("tensors, metadata, types, error, said", REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_written_leaves_the_file_as_it_was(
    tensors: Any, metadata: Any, types: Any, error: type[Exception], said: str, tmp_path: Path
) -> None:
    path = tmp_path / "x.gguf"
    path.write_text("before")
    with pytest.raises(error) as caught:
        write_gguf(path, tensors, metadata, types)
    assert said in str(caught.value)
    assert path.read_text() == "before" and [*tmp_path.iterdir()] == [path]


def test_infinity_is_kept_in_floats(tmp_path: Path) -> None:
    write_gguf(tmp_path / "x.gguf", {"x": np.array([-np.inf, 1.0], np.float32)}, types={"x": "F16"})
    with read_gguf(tmp_path / "x.gguf") as file:
        assert file["x"].tolist() == [-np.inf, 1.0]
