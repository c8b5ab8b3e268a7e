"""What happened, step by step: a table that can be saved as CSV and drawn."""

from __future__ import annotations

import csv
import os
from array import array
from collections.abc import Mapping
from math import isnan, nan
from pathlib import Path
from typing import Any

import numpy as np

from tinytorch.tensor import Array, replacing


class History:
    """One row per step; columns are `step`, `epoch`, `loss`, `lr` and what else was measured, NaN where it was not.

    >>> history = History()
    >>> history.record(step=1, loss=2.0); history.record(step=2, loss=1.0); history.add(valid_loss=1.5)
    >>> history["loss"].tolist(), history.last("valid_loss"), len(history)
    ([2.0, 1.0], 1.5, 2)
    """

    def __init__(self) -> None:
        self._columns: dict[str, array[float]] = {}
        self._rows = 0

    def record(self, **values: float) -> None:
        """Begin a new row."""
        self._rows += 1
        for column in self._columns.values():
            column.append(nan)
        self.add(**values)

    def add(self, **values: float) -> None:
        """Enter values into the latest row."""
        if not self._rows:
            raise ValueError("History: there is no row yet; record() begins one")
        for name, value in values.items():
            if name not in self._columns:
                self._columns[name] = array("d", [nan]) * self._rows
            self._columns[name][-1] = value

    def __len__(self) -> int:
        return self._rows

    @property
    def columns(self) -> list[str]:
        return list(self._columns)

    def __getitem__(self, name: str) -> Array:
        """One column, as a copy. Raises KeyError for one that was never measured."""
        if name not in self._columns:
            raise KeyError(f"History: no column {name!r}; there are {', '.join(self._columns) or 'none'}")
        return np.array(self._columns[name])

    def last(self, name: str) -> float:
        """The latest value of a column that is not NaN; NaN when there is none."""
        return next((value for value in reversed(self._columns.get(name, ())) if not isnan(value)), nan)

    def state_dict(self) -> dict[str, Array]:
        """The columns by name."""
        return {name: self[name] for name in self._columns}

    def load_state_dict(self, columns: Mapping[str, Array]) -> None:
        """Put other columns in place of these. Raises ValueError when they are not of one length."""
        if len({len(column) for column in columns.values()}) > 1:
            raise ValueError("History: columns of different lengths; nothing was loaded")
        self._columns = {name: array("d", column.tolist()) for name, column in columns.items()}
        self._rows = max((len(column) for column in columns.values()), default=0)

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write the table, cells empty where nothing was measured; an existing file is replaced in one step."""
        with replacing(path) as draft, open(draft, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(self._columns)
            for row in zip(*self._columns.values(), strict=True):
                writer.writerow("" if isnan(value) else int(value) if value.is_integer() else value for value in row)

    def plot(
        self, path: str | os.PathLike[str] | None = None, columns: tuple[str, ...] = ("loss", "valid_loss")
    ) -> Any:
        """Draw columns over the steps with matplotlib, and save the figure when a path is given; returns the figure.

        Raises ModuleNotFoundError, which says what to install, when matplotlib is missing.
        """
        try:
            from matplotlib.figure import Figure
        except ModuleNotFoundError as error:
            way = "pip install 'tinytorch-training[plot]'"
            raise ModuleNotFoundError(f"History.plot needs matplotlib; install it with: {way}") from error
        figure = Figure(figsize=(7, 4), layout="constrained")
        axes = figure.add_subplot()
        for name in columns:
            if name in self._columns:
                measured = ~np.isnan(self[name])
                axes.plot(self["step"][measured], self[name][measured], label=name.replace("_", " "))
        axes.set_xlabel("step")
        if axes.lines:
            axes.legend()
        if path is not None:
            with replacing(path) as draft:
                figure.savefig(draft, format=Path(path).suffix[1:] or "png")
        return figure
