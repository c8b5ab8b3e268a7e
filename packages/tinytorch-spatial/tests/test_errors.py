"""Wrong input is refused with what was seen, the rule, and the way out, in two lines at most."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinytorch.spatial as spatial
from tinytorch.spatial import AvgPool2d, BatchNorm2d, Conv2d, MaxPool2d
from tinytorch.tensor import Tensor, zeros

X = zeros(2, 4, 5, 5)
W = zeros(6, 4, 3, 3)

CASES: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "a single image": (
        lambda: spatial.conv2d(X[0], W),
        ValueError,
        "conv2d: x of shape (4, 5, 5); it must be (N, C, H, W): a single image (C, H, W) is passed as x[None]",
    ),
    "a number": (lambda: spatial.conv2d(1.0, W), ValueError, "x of shape ()"),
    "a flat kernel": (lambda: spatial.conv2d(X, W[0]), ValueError, "weight of shape (4, 3, 3); it must be (out_ch"),
    "other channels": (
        lambda: spatial.conv2d(X, zeros(6, 3, 3, 3)),
        ValueError,
        "has 4 channels, weight (6, 3, 3, 3) with groups=1 takes 3; they must agree",
    ),
    "other channels in groups": (lambda: spatial.conv2d(X, W, groups=2), ValueError, "with groups=2 takes 8"),
    "groups that do not divide": (lambda: spatial.conv2d(X, zeros(6, 1, 3, 3), groups=4), ValueError, "groups is 4"),
    "no groups": (lambda: spatial.conv2d(X, W, groups=0), ValueError, "groups is 0 for 6 output channels"),
    "half a group": (lambda: spatial.conv2d(X, W, groups=1.5), ValueError, "groups is 1.5"),
    "another bias": (lambda: spatial.conv2d(X, W, zeros(4)), ValueError, "bias of shape (4,) for 6 output channels"),
    "a stride of 0": (lambda: spatial.conv2d(X, W, stride=0), ValueError, "stride is 0; it must be at least 1"),
    "a stride of three": (lambda: spatial.conv2d(X, W, stride=(1, 1, 1)), TypeError, "or a pair of them"),
    "half a stride": (lambda: spatial.conv2d(X, W, stride=0.5), TypeError, "stride is 0.5; it must be an int"),
    "a true stride": (lambda: spatial.conv2d(X, W, stride=(True, 1)), TypeError, "stride is (True, 1)"),
    "no dilation": (lambda: spatial.conv2d(X, W, dilation=(1, 0)), ValueError, "dilation is (1, 0)"),
    "negative padding": (lambda: spatial.conv2d(X, W, padding=-1), ValueError, "padding is -1; it must be at least 0"),
    "unknown padding": (lambda: spatial.conv2d(X, W, padding="full"), ValueError, "'full'; it must be an int, a pair"),
    "same size in steps": (
        lambda: spatial.conv2d(X, W, padding="same", stride=2),
        ValueError,
        "padding is 'same' with stride (2, 2); only stride 1 keeps the size",
    ),
    "a small image": (
        lambda: spatial.conv2d(X, W, dilation=3),
        ValueError,
        "the kernel spans 7 x 7 pixels, the image with its padding has 5 x 5",
    ),
    "a module of no channels": (lambda: Conv2d(0, 3, 3), ValueError, "Conv2d: in_channels is 0"),
    "a module of half groups": (lambda: Conv2d(4, 6, 3, groups=4), ValueError, "4 channels in, 6 out, groups=4"),
    "a module of unknown padding": (lambda: Conv2d(1, 1, 3, padding="full"), ValueError, "Conv2d: padding is 'full'"),
    "a module that cannot keep the size": (lambda: Conv2d(1, 1, 3, 2, "same"), ValueError, "Conv2d: padding is 'same'"),
    "max of a matrix": (lambda: spatial.max_pool2d(X[0, 0], 2), ValueError, "max_pool2d: x of shape (5, 5)"),
    "max of too much padding": (lambda: spatial.max_pool2d(X, 3, padding=2), ValueError, "it must be at most half"),
    "max of a small image": (lambda: spatial.max_pool2d(X, 6), ValueError, "max_pool2d: the kernel spans 6 x 6"),
    "max module of too much padding": (
        lambda: MaxPool2d(3, padding=2),
        ValueError,
        "MaxPool2d: padding is 2 for a kernel that spans (3, 3); it must be at most half of that",
    ),
    "max module of padding in one direction": (lambda: MaxPool2d((4, 1), padding=(2, 1)), ValueError, "at most half"),
    "avg module of too much padding": (lambda: AvgPool2d(2, padding=2), ValueError, "AvgPool2d: padding is 2"),
    "max module": (lambda: MaxPool2d(0), ValueError, "MaxPool2d: kernel_size is 0"),
    "avg of too much padding": (lambda: spatial.avg_pool2d(X, (2, 4), padding=(0, 3)), ValueError, "at most half"),
    "avg by nothing": (lambda: spatial.avg_pool2d(X, 2, divisor_override=0), ValueError, "divisor_override is 0"),
    "avg module": (lambda: AvgPool2d("2"), TypeError, "AvgPool2d: kernel_size is '2'"),
    "adaptive to nothing": (lambda: spatial.adaptive_avg_pool2d(X, 0), ValueError, "output_size is"),
    "adaptive to three": (lambda: spatial.adaptive_avg_pool2d(X, (1, 2, 3)), TypeError, "output_size is (1, 2, 3)"),
    "adaptive of nothing": (lambda: spatial.adaptive_avg_pool2d(zeros(1, 1, 0, 2), 1), ValueError, "has no pixels"),
    "norm of numbers": (lambda: spatial.batch_norm(zeros(3), training=True), ValueError, "it must be (N, C, ...)"),
    "norm of other channels": (
        lambda: spatial.batch_norm(X, zeros(3), training=True),
        ValueError,
        "weight of shape (3,) for 4 channels; it must be (4,)",
    ),
    "norm without statistics": (lambda: spatial.batch_norm(X), ValueError, "pass both"),
    "norm with half the statistics": (
        lambda: spatial.batch_norm(X, running_mean=zeros(4), training=True),
        ValueError,
        "pass both or neither",
    ),
    "norm of one number a channel": (
        lambda: BatchNorm2d(4)(zeros(1, 4, 1, 1)),
        ValueError,
        "has 1 numbers per channel; a variance needs at least two",
    ),
    "norm of an empty batch": (lambda: BatchNorm2d(4)(zeros(0, 4, 2, 2)), ValueError, "has 0 numbers per channel"),
    "norm module of other channels": (lambda: BatchNorm2d(3)(X), ValueError, "has 4 channels; it must have 3"),
    "norm module of a matrix": (lambda: BatchNorm2d(3)(zeros(4, 3)), ValueError, "BatchNorm2d: x of shape (4, 3)"),
    "norm module of momentum": (lambda: BatchNorm2d(3, momentum=2.0), ValueError, "momentum is 2.0"),
    "norm module of eps": (lambda: BatchNorm2d(3, eps=-1.0), ValueError, "eps is -1.0"),
}


@pytest.mark.parametrize("name", CASES)
def test_wrong_input_is_refused(name: str) -> None:
    call, kind, text = CASES[name]
    with pytest.raises(kind, match=re.escape(text)) as caught:
        call()
    assert str(caught.value).count("\n") <= 1


def test_a_refused_batch_leaves_the_statistics_as_they_were() -> None:
    norm = BatchNorm2d(2)
    with pytest.raises(ValueError, match="numbers per channel"):
        norm(Tensor(np.full((1, 2, 1, 1), 9.0)))
    fresh = BatchNorm2d(2).state_dict()
    for name, value in norm.state_dict().items():
        np.testing.assert_array_equal(value.data, fresh[name].data)
