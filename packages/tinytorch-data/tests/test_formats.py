"""Readers of other people's formats: right files are read exactly, every other file is a clear ValueError."""

import gzip
import io
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tinytorch.data.datasets import cifar10, mnist, read_cifar10, read_idx
from tinytorch.data.datasets.cifar10 import NAME, RECORD

from .real_formats import CODES, cifar_batch, cifar_members, idx, mnist_pair, tar

many = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
VALID_IDX = idx(np.arange(24, dtype=np.int16).reshape(2, 3, 4))
VALID_TAR = tar(cifar_members(1))


@many
@given(st.sampled_from(sorted(CODES)).flatmap(lambda code: arrays.arrays(code, arrays.array_shapes())), st.booleans())
def test_idx_arrays_survive_the_round_trip(tmp_path: Path, array: Any, zipped: bool) -> None:
    path = tmp_path / "array"
    path.write_bytes(gzip.compress(idx(array)) if zipped else idx(array))
    assert np.array_equal(read_idx(path), array, equal_nan=array.dtype.kind == "f")
    assert read_idx(path).dtype == array.dtype


def damage(data: st.DataObject, valid: bytes) -> bytes:
    """`valid` with bytes changed, taken out, put in, or cut off."""
    broken = bytearray(valid)
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(broken)))
        stop = data.draw(st.sampled_from([start, start + 1, start + 4, len(broken)]))
        broken[start:stop] = data.draw(st.binary(max_size=6))
    return bytes(broken)


def read_or_refuse(read: Any, path: Path, content: bytes) -> None:
    path.write_bytes(content)
    try:
        read(path)
    except ValueError as error:
        assert str(path) in str(error) and str(error).count("\n") < 2


@many
@given(st.data(), st.booleans(), st.booleans())
def test_a_damaged_idx_file_is_read_or_refused(tmp_path: Path, data: st.DataObject, zip_it: bool, after: bool) -> None:
    pack = gzip.compress if zip_it else bytes
    content = damage(data, pack(VALID_IDX)) if after else pack(damage(data, VALID_IDX))
    read_or_refuse(read_idx, tmp_path / "file", content)


@many
@given(st.data(), st.booleans())
def test_a_damaged_archive_is_read_or_refused(tmp_path: Path, data: st.DataObject, after: bool) -> None:
    content = damage(data, gzip.compress(VALID_TAR, 1)) if after else gzip.compress(damage(data, VALID_TAR), 1)
    read_or_refuse(read_cifar10, tmp_path / "file", content)


@many
@given(st.data())
def test_a_damaged_tar_header_is_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    header = bytearray(VALID_TAR[:512])
    for _ in range(data.draw(st.integers(1, 4))):
        header[data.draw(st.integers(0, 511))] = data.draw(st.integers(0, 255))
    checksum = sum(header[:148]) + 8 * ord(" ") + sum(header[156:])
    header[148:156] = b"%06o\0 " % checksum
    read_or_refuse(read_cifar10, tmp_path / "file", gzip.compress(bytes(header) + VALID_TAR[512:], 1))


@many
@given(st.binary(max_size=200))
def test_noise_is_refused(tmp_path: Path, noise: bytes) -> None:
    for content in (noise, gzip.compress(noise)):
        (tmp_path / "file").write_bytes(content)
        with pytest.raises(ValueError):
            read_cifar10(tmp_path / "file")
        read_or_refuse(read_idx, tmp_path / "file", content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "starts with nothing"),
        (b"\x89PNG", "starts with 89 50 4e 47"),
        (b"\0\0\x0a\1", "type and rank"),
        (b"\0\0\x08\x09" + b"\0" * 40, "type and rank"),
        (VALID_IDX[:9], "within its header"),
        (VALID_IDX[:-1], "the file holds 47"),
        (VALID_IDX + b"\0", "the file holds more"),
        (gzip.compress(VALID_IDX)[:-9], "damaged gzip"),
        (b"\0\0\x08\3" + b"\xff" * 12, "at most 1,073,741,824 are read"),
        (gzip.compress(b"\0\0\x08\1\x7f\xff\xff\xff" + b"\0" * 10**6), "at most 1,073,741,824 are read"),
    ],
)
def test_an_idx_error_says_what_was_seen(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_idx(tmp_path / "file")


def test_a_larger_idx_file_than_wanted_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(VALID_IDX)
    assert read_idx(tmp_path / "file", most_bytes=48).shape == (2, 3, 4)
    with pytest.raises(ValueError, match="at most 47"):
        read_idx(tmp_path / "file", most_bytes=47)


def write_mnist(folder: Path) -> None:
    for prefix, pair in (("train", mnist_pair(5)), ("t10k", mnist_pair(3, seed=1))):
        for kind, content in zip(("images-idx3", "labels-idx1"), pair, strict=True):
            (folder / f"{prefix}-{kind}-ubyte.gz").write_bytes(content)


def test_mnist_is_read_from_a_folder(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    train, test, every = (mnist(split, tmp_path, verify=False).tensors for split in ("train", "test", "all"))
    assert train[0].shape == (5, 1, 28, 28) and test[0].shape == (3, 1, 28, 28) and every[0].shape == (8, 1, 28, 28)
    assert train[0].dtype == np.float32 and train[1].dtype == np.int64
    raw = mnist("train", tmp_path, verify=False, dtype=np.uint8)[0][0]
    assert np.array_equal(train[0].data[0] * 255, raw.data)


def test_mnist_files_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    labels = tmp_path / "train-labels-idx1-ubyte.gz"
    for wrong in (np.zeros(4, "u1"), np.full(5, 10, "u1"), np.zeros(5, "i4")):
        labels.write_bytes(idx(wrong))
        with pytest.raises(ValueError, match=r"train-labels.*a digit 0 to 9 per image"):
            mnist("train", tmp_path, verify=False)
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(idx(np.zeros((5, 8, 8), "u1")))
    with pytest.raises(ValueError, match=r"train-images.*\(N, 28, 28\)"):
        mnist("train", tmp_path, verify=False)


def test_mnist_of_another_content_is_refused_unless_asked_for(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    with pytest.raises(ValueError, match="expected 440fcabf"):
        mnist("train", tmp_path)


def test_cifar10_is_read_from_a_folder(tmp_path: Path) -> None:
    members = cifar_members(2)
    (tmp_path / NAME).write_bytes(gzip.compress(tar(members)))
    train, test, every = (cifar10(split, tmp_path, verify=False).tensors for split in ("train", "test", "all"))
    assert train[0].shape == (10, 3, 32, 32) and test[0].shape == (2, 3, 32, 32) and every[0].shape == (12, 3, 32, 32)
    second = members["cifar-10-batches-bin/data_batch_1.bin"][RECORD:]
    assert train[1].data[1] == second[0]
    raw = cifar10("train", tmp_path, verify=False, dtype=np.uint8)[1][0]
    assert raw.data.tobytes() == second[1:]
    assert np.allclose(train[0].data[1] * 255, raw.data)


def archive(**changes: Any) -> bytes:
    return gzip.compress(tar({**cifar_members(1), **changes}), 1)


def linked(kind: bytes) -> bytes:
    target = io.BytesIO(VALID_TAR[:-10240])
    with tarfile.open(fileobj=target, mode="w") as made:
        member = tarfile.TarInfo("cifar-10-batches-bin/data_batch_1.bin")
        member.type, member.linkname = kind, "/etc/hostname"
        made.addfile(member)
    return gzip.compress(target.getvalue())


first = "cifar-10-batches-bin/data_batch_1.bin"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (VALID_TAR, "not a gzipped file|Not a gzipped file"),
        (gzip.compress(VALID_TAR)[:-2000], "get it again"),
        (archive(**{"../test_batch.bin": b""}), "points out of its folder"),
        (archive(**{"/etc/test_batch.bin": b""}), "points out of its folder"),
        (archive(**{"a/../../x": b""}), "points out of its folder"),
        (linked(tarfile.SYMTYPE), "is a link"),
        (linked(tarfile.LNKTYPE), "is a link"),
        (linked(tarfile.CHRTYPE), "is a link"),
        (archive(**{"elsewhere/test_batch.bin": cifar_batch(1)}), "test_batch.bin is there twice"),
        (archive(**{first: b"\0" * (RECORD - 1)}), "data_batch_1.bin has 3,072 bytes"),
        (archive(**{first: b""}), "data_batch_1.bin has 0 bytes"),
        (archive(**{first: bytes([10]) + bytes(RECORD - 1)}), "a label above 9"),
        (gzip.compress(tar({first: cifar_batch(1)})), "data_batch_2.bin, .*test_batch.bin missing"),
    ],
)
def test_a_cifar_error_says_what_was_seen(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / NAME).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        cifar10("train", tmp_path, verify=False)
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(read_cifar10.__globals__, "MOST_BYTES", 100_000)
    (tmp_path / NAME).write_bytes(archive(junk=bytes(10**6)))
    with pytest.raises(ValueError, match="more than 100,000 bytes"):
        read_cifar10(tmp_path / NAME)
