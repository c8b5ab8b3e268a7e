"""The table of what happened, as CSV and as a picture."""

from __future__ import annotations

import csv
import sys
from math import isnan
from pathlib import Path

import numpy as np
import pytest

from tinytorch.training import History

from .problems import pairs, trainer


def recorded() -> History:
    history = History()
    for step, loss in enumerate([2.0, 1.0, 0.5], start=1):
        history.record(step=step, loss=loss)
        if step == 2:
            history.add(valid_loss=1.5)
    return history


def test_what_was_not_measured_is_nan() -> None:
    history = recorded()
    np.testing.assert_array_equal(history["valid_loss"], [np.nan, 1.5, np.nan])
    assert history.last("valid_loss") == 1.5
    assert isnan(history.last("accuracy"))
    assert history.columns == ["step", "loss", "valid_loss"]
    with pytest.raises(KeyError, match="no column 'accuracy'; there are step, loss"):
        history["accuracy"]
    with pytest.raises(ValueError, match="no row yet"):
        History().add(loss=1.0)


def test_csv_holds_every_digit(tmp_path: Path) -> None:
    trained = trainer(metrics=["accuracy"])
    history = trained.fit(pairs(), pairs(1), epochs=2, progress=False)
    history.to_csv(tmp_path / "history.csv")
    with open(tmp_path / "history.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 10
    assert [row["step"] for row in rows] == [str(step) for step in range(1, 11)]
    for name in history.columns:
        np.testing.assert_array_equal([float(row[name] or "nan") for row in rows], history[name])
    assert [file.name for file in tmp_path.iterdir()] == ["history.csv"]


def test_a_csv_that_cannot_be_written_leaves_the_earlier_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "history.csv"
    recorded().to_csv(path)
    before = path.read_bytes()

    def fail(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="no space left"):
        recorded().to_csv(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["history.csv"]


def test_a_csv_keeps_the_mode_and_the_link_of_the_earlier_one(tmp_path: Path) -> None:
    path, link = tmp_path / "history.csv", tmp_path / "latest.csv"
    recorded().to_csv(path)
    path.chmod(0o600)
    link.symlink_to(path)
    recorded().to_csv(link)
    assert link.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_plot_that_cannot_be_written_leaves_the_earlier_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "loss.svg"
    recorded().plot(path)
    before = path.read_bytes()

    def fail(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="no space left"):
        recorded().plot(path)
    assert path.read_bytes() == before
    assert before.startswith(b"<?xml")
    assert [file.name for file in tmp_path.iterdir()] == ["loss.svg"]


def test_columns_of_different_lengths_are_not_a_history() -> None:
    history = recorded()
    with pytest.raises(ValueError, match="different lengths"):
        history.load_state_dict({"step": np.zeros(2), "loss": np.zeros(3)})
    assert len(history) == 3


def test_the_plot_has_a_line_for_each_column(tmp_path: Path) -> None:
    figure = recorded().plot(tmp_path / "loss.png")
    (axes,) = figure.axes
    np.testing.assert_array_equal(axes.lines[0].get_xydata(), [[1, 2.0], [2, 1.0], [3, 0.5]])
    np.testing.assert_array_equal(axes.lines[1].get_xydata(), [[2, 1.5]])
    assert [label.get_text() for label in axes.get_legend().get_texts()] == ["loss", "valid loss"]
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")


def test_a_missing_matplotlib_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'tinytorch-training\[plot\]'"):
        recorded().plot()
