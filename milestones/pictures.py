"""The pictures of the milestones: figures, and a plane that is divided in two."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tinytorch.tensor import Array, Tensor

BLUE, ORANGE = "#2166ac", "#e08214"


def figure(width: float, height: float, rows: int = 1, columns: int = 1, title: str = "") -> tuple[Any, Any]:
    """A figure of that many inches and its axes."""
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(width, height), layout="constrained")
    drawn.suptitle(title)
    return drawn, drawn.subplots(rows, columns)


def save(drawn: Any, path: Path) -> None:
    """Write the picture. Ends the program, with a line that says why, where it cannot be written."""
    try:
        drawn.savefig(path, dpi=150)
    except OSError as error:
        raise SystemExit(f"--plot {path}: {error.strerror}") from error


def plane(axes: Any, points: Array, labels: Array, score: Callable[[Tensor], Tensor] | None = None) -> None:
    """Points (N, 2) of the classes 0 and 1, and the sides on which `score`, (N, 2) -> (N, 1), is above 0 or not."""
    low, high = points.min(axis=0) - 0.3, points.max(axis=0) + 0.3
    if score is not None:
        x, y = np.meshgrid(*(np.linspace(low[axis], high[axis], 200) for axis in (0, 1)))  # (200, 200) each
        z = score(Tensor(np.stack([x, y], axis=-1).reshape(-1, 2))).data.reshape(x.shape)
        axes.contourf(x, y, z > 0, levels=[-0.5, 0.5, 1.5], colors=[ORANGE, BLUE], alpha=0.15)
        axes.contour(x, y, z, levels=[0.0], colors="black", linewidths=1.5)
    for label, color, marker in ((0, ORANGE, "o"), (1, BLUE, "s")):
        of = points[labels == label]
        axes.scatter(of[:, 0], of[:, 1], c=color, marker=marker, s=22, edgecolors="white", label=f"class {label}")
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), xlabel="$x_1$", ylabel="$x_2$", aspect="equal")
    key(axes)


def key(axes: Any) -> None:
    """The legend, below the picture, where it hides nothing."""
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=3, frameon=False)
