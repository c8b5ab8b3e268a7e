"""A trace as text, as a picture and as a program."""

from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from tinytorch.acceleration import fuse
from tinytorch.autograd import enable_autograd
from tinytorch.tensor import Tensor

enable_autograd()
X = Tensor(np.ones((3, 4)))


@fuse
def softmax(x: Any) -> Any:
    e = np.exp(x - x.detach().max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


@fuse
def standard(x: Any) -> Any:
    return (x - x.mean()) / (x - x.mean()).abs().max()


def test_the_text_says_what_is_computed_and_in_how_many_passes() -> None:
    lines = repr(softmax.trace(X)).splitlines()
    assert lines[0] == "softmax(x): one pass over (a, b)"
    assert lines[3].split() == ["v2", "=", "max(v1", "over", "b)", "float32", "(a,", "1)"]
    assert lines[-1] == "  return v6"
    assert repr(standard.trace(X)).splitlines()[0] == "standard(x): 3 passes over (a, b), then (a, b), then (a, b)"


def test_the_picture_has_a_box_for_every_value() -> None:
    for trace in (softmax.trace(X), softmax.trace(X).gradient):
        picture = ElementTree.fromstring(trace.draw())
        boxes = [each for each in picture.iter() if each.tag.endswith("rect")]
        text = repr(trace).splitlines()
        assert len(boxes) == len(text) - 2  # without the head and the return
        assert trace._repr_svg_() == trace.draw()


def test_the_program_reads_a_row_once_from_memory_and_keeps_what_is_expensive() -> None:
    source = softmax.trace(X).source
    assert source.count("exp32(") == 1
    assert source.count("for row in range") == 1
    compile(source, "softmax", "exec")
    compile(softmax.trace(X).gradient.source, "softmax", "exec")


def test_there_is_no_gradient_of_integers() -> None:
    trace = fuse(lambda x: x * 2).trace(Tensor([1, 2]))
    with pytest.raises(ValueError, match="no input of lambda is floating point"):
        trace.gradient  # noqa: B018


def test_a_program_that_cannot_be_kept_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Any) -> Any:
        raise OSError("no space left on device")

    monkeypatch.setattr("tinytorch.acceleration.fusing.programs.replacing", full)
    assert np.allclose(fuse(lambda x: x * 1.2345)(X).data, 1.2345)
