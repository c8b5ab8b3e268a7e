"""The scan of what each layer can lose."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinytorch.compression import CompressionError, Sensitivity, make_permanent, prune, sensitivity
from tinytorch.layers import Module

from .models import example, make_cnn, make_gpt, make_llama, make_mlp, numbers


@pytest.mark.parametrize("make", [make_mlp, make_cnn, make_gpt, make_llama])
def test_scores_are_those_of_a_model_in_which_one_layer_is_pruned(make: Callable[[], Module]) -> None:
    model = make().eval()
    x = example(model)

    def evaluate(model: Module) -> float:
        assert not model.training
        return float(np.abs(model(x).data).sum())

    before = numbers(model)
    found = sensitivity(model, evaluate, [0.0, 0.4, 0.8])
    assert numbers(model) == before
    assert found.amounts == (0.0, 0.4, 0.8)
    for name, scores in found.scores.items():
        assert scores[0] == found.baseline
        for amount, score in zip(found.amounts, scores, strict=True):
            twin = make().eval()
            prune(twin, amount, targets=[name])
            assert score == evaluate(twin)


def test_the_model_is_what_it_was_when_the_evaluation_fails() -> None:
    model = make_mlp().train()
    prune(model, 0.2)
    before, calls = numbers(model), []

    def evaluate(model: Module) -> float:
        calls.append(1)
        if len(calls) == 3:
            raise RuntimeError("no data")
        return 0.0

    with pytest.raises(RuntimeError, match="no data"):
        sensitivity(model, evaluate, [0.5])
    assert numbers(model) == before
    make_permanent(model)


def test_picture_and_table(tmp_path: Path) -> None:
    found = Sensitivity((0.5, 0.9), 0.9, {"fc1": (0.9, 0.5), "fc2": (0.8, float("nan"))})
    assert str(found).splitlines() == [
        "         0.5      0.9",
        "fc1      0.9      0.5",
        "fc2      0.8      nan",
        "the whole model: 0.9",
    ]
    figure = found.plot(tmp_path / "scan.svg")
    assert (tmp_path / "scan.svg").read_text().startswith("<?xml")
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["fc1", "fc2"]
    assert axes.images[0].get_array().shape == (2, 2)


def test_matplotlib_is_imported_when_a_picture_is_drawn() -> None:
    program = "import sys, tinytorch.compression; print('matplotlib' in sys.modules, 'safetensors' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_a_missing_matplotlib_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"tinytorch-compression\[plot\]"):
        Sensitivity((0.5,), 1.0, {"0": (1.0,)}).plot()


def test_bad_input_is_refused() -> None:
    model = make_mlp()
    wrong: list[tuple[Callable[[], Any], type[Exception], str]] = [
        (lambda: sensitivity(model, lambda model: 0.0, []), ValueError, "amounts is empty"),
        (lambda: sensitivity(model, lambda model: 0.0, [0.5, 1.0]), ValueError, "something stays"),
        (lambda: sensitivity(model, lambda model: 0.0, targets="9"), ValueError, "no layer is called"),
    ]
    for call, kind, message in wrong:
        with pytest.raises(kind, match=message):
            call()
    model[0].weight.data[0] = np.inf
    with pytest.raises(CompressionError, match="NaN or infinite"):
        sensitivity(model, lambda model: 0.0)
