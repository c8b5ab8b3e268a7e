"""Attention weights as a picture."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from tinytorch.attention import MultiHeadAttention, plot_attention
from tinytorch.tensor import randn


def test_each_head_is_an_image(tmp_path: Path) -> None:
    weights = MultiHeadAttention(8, 2, causal=True).weights(randn(1, 3, 8))
    figure = plot_attention(weights, ["a", "b", "c"], tmp_path / "heads.png")
    images = [image for axes in figure.axes for image in axes.images if axes.get_title().startswith("head")]
    assert [np.asarray(image.get_array()).shape for image in images] == [(3, 3), (3, 3)]
    np.testing.assert_array_equal(images[1].get_array(), weights.data[0, 1])
    assert (tmp_path / "heads.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("shape", "tokens"), [((2, 1, 3, 3), None), ((3,), None), ((3, 3), ["a"])])
def test_wrong_weights_are_refused(shape: tuple[int, ...], tokens: list[str] | None) -> None:
    with pytest.raises(ValueError, match="plot_attention: "):
        plot_attention(np.ones(shape), tokens)


def test_without_matplotlib_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"tinytorch-attention\[plot\]"):
        plot_attention(np.ones((2, 2)))
