"""The modules: starting values, what they hold, what they print, and that a network of them learns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tinytorch.autograd import no_grad
from tinytorch.layers import CrossEntropyLoss, Flatten, Linear, ReLU, Sequential, load, save
from tinytorch.spatial import AdaptiveAvgPool2d, AvgPool2d, BatchNorm2d, Conv2d, MaxPool2d, conv2d
from tinytorch.tensor import Tensor, manual_seed, randn, zeros


def small_network() -> Sequential:
    manual_seed(0)
    return Sequential(
        Conv2d(1, 4, 3, padding="same"), BatchNorm2d(4), ReLU(), MaxPool2d(2),
        Conv2d(4, 8, 3, padding=1, bias=False), BatchNorm2d(8), ReLU(), AdaptiveAvgPool2d(1),
        Flatten(), Linear(8, 2),
    )  # fmt: skip


def bars(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Noisy images with one bright row (0) or one bright column (1)."""
    rng = np.random.default_rng(seed)
    images, labels = rng.normal(0, 0.3, (n, 1, 8, 8)).astype(np.float32), rng.integers(0, 2, n)
    for image, label, place in zip(images[:, 0], labels, rng.integers(0, 8, n), strict=True):
        (image.T if label else image)[place] += 1
    return images, labels


def test_a_small_network_learns_to_tell_rows_from_columns() -> None:
    model, loss_of = small_network(), CrossEntropyLoss()
    x, y = bars(128, seed=0)
    for _ in range(60):
        loss = loss_of(model(Tensor(x)), y)
        model.zero_grad()
        loss.backward()
        for parameter in model.parameters():
            parameter.data -= 0.2 * parameter.grad.data
    unseen, truth = bars(200, seed=1)
    with no_grad():
        answers = model.eval()(Tensor(unseen)).argmax(axis=1)
    assert (answers.data == truth).mean() > 0.95


def test_batch_matches_single() -> None:
    model = small_network().eval()
    x = randn(5, 1, 8, 8)
    together = model(x).data
    for n in range(5):
        np.testing.assert_allclose(model(x[n : n + 1]).data[0], together[n], rtol=1e-5, atol=1e-6)


def test_moving_the_image_moves_the_result() -> None:
    conv, x = Conv2d(2, 3, 3, dtype="float64"), randn(1, 2, 9, 9, dtype="float64")
    np.testing.assert_allclose(conv(x).data[:, :, 1:, 2:], conv(x[:, :, 1:, 2:]).data, rtol=1e-12)


def test_weights_start_within_pytorch_s_bound_and_follow_the_generator() -> None:
    conv = Conv2d(6, 8, (3, 5), groups=2, generator=np.random.default_rng(0))
    assert conv.weight.shape == (8, 3, 3, 5)
    assert conv.bias is not None
    bound = 1 / np.sqrt(3 * 3 * 5)
    assert 0.95 * bound < np.abs(conv.weight.data).max() <= bound
    assert np.abs(conv.bias.data).max() <= bound
    again = Conv2d(6, 8, (3, 5), groups=2, generator=np.random.default_rng(0))
    np.testing.assert_array_equal(conv.weight.data, again.weight.data)


def test_modules_are_their_functions() -> None:
    x = randn(2, 4, 7, 6)
    conv = Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 2), dilation=(1, 2), groups=2)
    expected = conv2d(x, conv.weight, conv.bias, stride=(2, 1), padding=(1, 2), dilation=(1, 2), groups=2)
    np.testing.assert_array_equal(conv(x).data, expected.data)
    assert MaxPool2d(2, ceil_mode=True)(x).shape == (2, 4, 4, 3)
    assert MaxPool2d(2, stride=1, dilation=2)(x).shape == (2, 4, 5, 4)
    assert AvgPool2d((3, 2), padding=(1, 0))(x).shape == (2, 4, 3, 3)
    assert AdaptiveAvgPool2d((None, 2))(x).shape == (2, 4, 7, 2)
    ones = AvgPool2d(2, padding=1, count_include_pad=False)(zeros(1, 1, 3, 3) + 1)
    np.testing.assert_array_equal(ones.data, 1)


def test_batch_norm_brings_channels_to_mean_zero_and_variance_one() -> None:
    out = BatchNorm2d(3)(randn(8, 3, 5, 5) * 4 + 7)
    np.testing.assert_allclose(out.data.mean(axis=(0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(out.data.var(axis=(0, 2, 3)), 1, atol=1e-4)


def test_batch_norm_of_large_numbers_keeps_its_digits() -> None:
    x = np.random.default_rng(0).normal(1000.0, 1.0, (64, 2, 16, 16)).astype(np.float32)
    out = BatchNorm2d(2)(Tensor(x)).data
    wide = x.astype(np.float64)
    axes = (0, 2, 3)
    exact = (wide - wide.mean(axes, keepdims=True)) / np.sqrt(wide.var(axes, keepdims=True) + 1e-5)
    np.testing.assert_allclose(out, exact, atol=2e-4)


def test_batch_norm_without_statistics_always_goes_by_the_batch() -> None:
    norm, x = BatchNorm2d(2, track_running_stats=False, affine=False), randn(4, 2, 3, 3)
    assert list(norm.parameters()) == list(norm.buffers()) == []
    np.testing.assert_array_equal(norm(x).data, norm.eval()(x).data)


def test_batch_norm_can_be_used_twice_before_backward() -> None:
    norm = BatchNorm2d(2)
    (norm(randn(3, 2, 2, 2)) + norm(randn(3, 2, 2, 2))).sum().backward()
    assert norm.num_batches_tracked.item() == 2


def test_forgetting_the_statistics_starts_over() -> None:
    norm, x = BatchNorm2d(2), randn(4, 2, 3, 3)
    norm(x)
    norm.reset_running_stats()
    fresh = BatchNorm2d(2).state_dict()
    for name, value in norm.state_dict().items():
        np.testing.assert_array_equal(value.data, fresh[name].data)


def test_state_survives_a_file_and_a_dtype(tmp_path: Path) -> None:
    model, other = small_network(), small_network()
    x = randn(4, 1, 8, 8)
    model(x)
    save(model, tmp_path / "model.safetensors")
    load(other, tmp_path / "model.safetensors")
    np.testing.assert_array_equal(model.eval()(x).data, other.eval()(x).data)
    assert set(BatchNorm2d(3).state_dict()) == {
        "weight", "bias", "running_mean", "running_var", "num_batches_tracked",
    }  # fmt: skip
    wide = model.astype("float64")(x.astype("float64"))
    assert wide.dtype == np.float64
    np.testing.assert_allclose(wide.data, other(x).data, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("module", "text"),
    [
        (Conv2d(3, 16, 3), "Conv2d(3, 16, 3)"),
        (
            Conv2d(4, 8, (3, 5), stride=2, padding=(1, 2), groups=2, bias=False),
            "Conv2d(4, 8, (3, 5), stride=2, padding=(1, 2), groups=2, bias=False)",
        ),
        (Conv2d(1, 1, 3, padding="same", dilation=2), "Conv2d(1, 1, 3, padding='same', dilation=2)"),
        (MaxPool2d(2), "MaxPool2d(2)"),
        (MaxPool2d(3, stride=2, ceil_mode=True), "MaxPool2d(3, stride=2, ceil_mode=True)"),
        (AvgPool2d((2, 1), divisor_override=3), "AvgPool2d((2, 1), divisor_override=3)"),
        (AdaptiveAvgPool2d((1, None)), "AdaptiveAvgPool2d((1, None))"),
        (BatchNorm2d(4, momentum=None), "BatchNorm2d(4, momentum=None)"),
    ],
)
def test_a_module_prints_what_it_was_made_with(module: object, text: str) -> None:
    assert repr(module).split("  ")[0] == text


def test_integers_are_computed_as_floats() -> None:
    pixels = np.arange(16, dtype=np.uint8).reshape(1, 1, 4, 4)
    for module in (Conv2d(1, 2, 3), AvgPool2d(2), AdaptiveAvgPool2d(1), BatchNorm2d(1)):
        found, expected = module(Tensor(pixels)), module(Tensor(pixels.astype(np.float32)))
        assert found.dtype == np.float32, module
        np.testing.assert_allclose(found.data, expected.data, rtol=1e-5, atol=1e-5)
    assert MaxPool2d(2, padding=1)(Tensor(pixels)).dtype == np.uint8


def test_nan_is_passed_on_to_the_windows_that_see_it() -> None:
    x = np.zeros((1, 1, 4, 4), np.float32)
    x[0, 0, 0, 0] = np.nan
    for module in (Conv2d(1, 1, 2, stride=2), MaxPool2d(2), AvgPool2d(2), AdaptiveAvgPool2d(2)):
        seen = np.isnan(module(Tensor(x)).data[0, 0])
        assert seen[0, 0], module
        assert seen.sum() == 1, module
