"""What needs no network: the digits in the package, and the source of the standard library."""

import sysconfig
from pathlib import Path

import numpy as np
import pytest

from tinytorch.data import DataLoader
from tinytorch.data.datasets import digits, python_source
from tinytorch.data.datasets.source import modules


def test_the_digits_are_1797_images_of_ten_classes() -> None:
    images, labels = digits("all").tensors
    assert images.shape == (1797, 1, 8, 8) and images.dtype == np.float32
    assert labels.shape == (1797,) and labels.dtype == np.int64
    assert (images.data.min(), images.data.max()) == (0, 1)
    assert np.bincount(labels.data).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_the_first_digit_is_the_known_zero() -> None:
    image, label = digits("all", dtype=np.uint8)[0]
    assert label.item() == 0
    assert image.data[0, :2].tolist() == [[0, 0, 5, 13, 9, 1, 0, 0], [0, 0, 13, 15, 10, 15, 5, 0]]


def test_the_split_is_disjoint_balanced_and_complete() -> None:
    train, test, every = (digits(split).tensors for split in ("train", "test", "all"))
    assert (len(train[1]), len(test[1])) == (1442, 355)
    assert all(0.19 < share < 0.21 for share in np.bincount(test[1].data) / np.bincount(every[1].data))
    both = sorted(row.tobytes() for part in (train, test) for row in part[0].data)
    assert both == sorted(row.tobytes() for row in every[0].data)


def test_digits_come_in_the_precision_asked_for() -> None:
    assert digits(dtype=np.float64)[0][0].dtype == np.float64
    images, _ = next(iter(DataLoader(digits(dtype=np.uint8), batch_size=4)))
    assert images.dtype == np.uint8 and images.data.max() == 16


def test_other_splits_and_dtypes_are_refused() -> None:
    with pytest.raises(ValueError, match="'train', 'test' and 'all'"):
        digits("valid")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="uint8"):
        digits(dtype=np.int32)


def test_python_source_is_long_repeatable_and_ends_with_a_line() -> None:
    text = python_source(max_chars=300_000)
    assert text == python_source(max_chars=300_000)
    assert 290_000 < len(text) <= 300_000 and text.endswith("\n")
    assert text.startswith(python_source(max_chars=5_000))
    assert 900_000 < len(python_source()) <= 1_000_000


def test_python_source_without_room_for_a_line_is_empty() -> None:
    assert python_source(max_chars=1).strip() == ""


def test_python_source_is_the_library_without_its_tests() -> None:
    folder = Path(sysconfig.get_path("stdlib"))
    names = [path.relative_to(folder).as_posix() for path in modules(folder)]
    assert {"ast.py", "json/decoder.py", "random.py"} <= set(names)
    assert not [name for name in names if {"test", "tests", "site-packages"} & set(name.split("/"))]
    assert len(names) == len(set(names))


def test_all_of_python_source_fits_in_a_large_limit() -> None:
    text = python_source(max_chars=10**9)
    assert len(text) < 10**9 and "class ZipFile" in text


def test_python_without_source_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    with pytest.raises(FileNotFoundError, match="ships its source"):
        python_source()
    with pytest.raises(ValueError, match="max_chars is 0"):
        python_source(max_chars=0)
