"""Looking at attention weights."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinytorch.tensor import ShapeError, replacing


def plot_attention(
    weights: Any, tokens: Sequence[str] | None = None, path: str | os.PathLike[str] | None = None
) -> Any:
    """Draw weights (T, S), (H, T, S) or (1, H, T, S) as one image per head, and return the matplotlib figure.

    `tokens` label the keys, and the queries where there are as many. With `path` the picture is saved there, in the
    format its ending names. Raises ImportError when matplotlib is missing, ShapeError for other shapes.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError(
            "plot_attention needs matplotlib, which is not installed; pip install 'tinytorch-attention[plot]'"
        ) from None
    heads = np.asarray(weights)
    if heads.ndim == 4 and heads.shape[0] == 1:
        heads = heads[0]
    if heads.ndim == 2:
        heads = heads[None]
    if heads.ndim != 3 or 0 in heads.shape:
        raise ShapeError(f"plot_attention: weights of shape {np.shape(weights)}; give (T, S), or (H, T, S) of one text")
    H, T, S = heads.shape
    if tokens is not None and len(tokens) != S:
        raise ValueError(f"plot_attention: {len(tokens)} tokens for {S} keys; give one for each")
    figure = Figure(figsize=(1 + 3 * H, 3.4), layout="constrained")
    for index, (axes, head) in enumerate(zip(figure.subplots(1, H, squeeze=False)[0], heads, strict=True)):
        image = axes.imshow(head, vmin=0, vmax=max(float(head.max()), 1e-12), cmap="viridis")
        axes.set(title=f"head {index}", xlabel="attends to")
        if tokens is not None:
            axes.set_xticks(range(S), tokens, rotation=90)
            if T == S:
                axes.set_yticks(range(T), tokens)
        figure.colorbar(image, ax=axes, shrink=0.7)
    if path is not None:
        with replacing(path) as draft:
            figure.savefig(draft, format=Path(path).suffix[1:] or "png")
    return figure
