"""Transforms of image batches: against a sample-by-sample reference, for shapes of all kinds."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinytorch.data import Compose, Normalize, RandomCrop, RandomHorizontalFlip, ToFloat
from tinytorch.tensor import Tensor, manual_seed

shapes = st.tuples(st.integers(0, 5), st.integers(1, 3), st.integers(1, 7), st.integers(1, 7))


def pictures(shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    return np.arange(1, 1 + np.prod(shape), dtype=np.float32).reshape(shape)


@given(shapes, st.integers(0, 2), st.data())
def test_a_crop_is_a_window_of_the_padded_image(shape: tuple[int, ...], padding: int, data: st.DataObject) -> None:
    height, width = (data.draw(st.integers(1, side + 2 * padding)) for side in shape[2:])
    images = pictures(shape)
    crops = RandomCrop((height, width), padding)(images, generator=np.random.default_rng(0))
    assert crops.shape == (*shape[:2], height, width) and crops.dtype == images.dtype
    padded = np.pad(images, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    for crop, image in zip(crops, padded, strict=True):
        windows = [
            image[:, top : top + height, left : left + width]
            for top in range(image.shape[1] - height + 1)
            for left in range(image.shape[2] - width + 1)
        ]
        assert any(np.array_equal(crop, window) for window in windows)


def test_crops_reach_every_place() -> None:
    crops = RandomCrop(2)(np.broadcast_to(pictures((1, 1, 4, 4)), (500, 1, 4, 4)), generator=np.random.default_rng(0))
    assert len({crop.tobytes() for crop in crops}) == 9


@given(shapes, st.floats(0, 1))
def test_a_flip_mirrors_or_leaves_each_image(shape: tuple[int, ...], p: float) -> None:
    images = pictures(shape)
    for flipped, image in zip(RandomHorizontalFlip(p)(images), images, strict=True):
        assert np.array_equal(flipped, image) or np.array_equal(flipped, image[:, :, ::-1])
    assert np.array_equal(RandomHorizontalFlip(1.0)(images), images[..., ::-1])
    assert np.array_equal(RandomHorizontalFlip(0.0)(images), images)
    assert np.array_equal(images, pictures(shape))


def test_half_of_the_images_are_flipped() -> None:
    images = np.broadcast_to(pictures((1, 1, 1, 2)), (2000, 1, 1, 2))
    flipped = (RandomHorizontalFlip()(images, generator=np.random.default_rng(0)) != images).any(axis=(1, 2, 3)).mean()
    assert 0.45 < flipped < 0.55


def test_normalized_images_have_mean_0_and_deviation_1() -> None:
    images = np.random.default_rng(0).normal([[[[3.0]], [[-1.0]]]], [[[[2.0]], [[0.5]]]], size=(500, 2, 8, 8))
    result = Normalize(mean=[3.0, -1.0], std=[2.0, 0.5])(images)
    assert result.dtype == np.float64
    assert np.allclose(result.mean(axis=(0, 2, 3)), 0, atol=0.02)
    assert np.allclose(result.std(axis=(0, 2, 3)), 1, atol=0.02)


def test_bytes_become_numbers_from_0_to_1() -> None:
    result = ToFloat()(np.array([0, 51, 255], dtype=np.uint8).reshape(1, 1, 1, 3))
    assert result.dtype == np.float32 and np.allclose(result.ravel(), [0, 0.2, 1])


def test_tensors_in_tensors_out() -> None:
    change = Compose(ToFloat(), RandomCrop(4, padding=1), RandomHorizontalFlip(), Normalize([0.5] * 3, [0.2] * 3))
    images = np.random.default_rng(0).integers(256, size=(5, 3, 4, 4), dtype=np.uint8)
    result = change(Tensor(images), generator=np.random.default_rng(1))
    assert isinstance(result, Tensor)
    assert np.array_equal(result.data, change(images, generator=np.random.default_rng(1)))


def every_kind(channels_last: bool) -> Compose:
    return Compose(
        ToFloat(),
        RandomCrop((3, 4), padding=1, channels_last=channels_last),
        RandomHorizontalFlip(channels_last=channels_last),
        Normalize([0.5, 0.4, 0.3], [0.2, 0.3, 0.4], channels_last=channels_last),
    )


@given(st.integers(0, 5), st.integers(0, 99))
def test_channels_last_gives_the_same_pixels(count: int, seed: int) -> None:
    images = np.random.default_rng(seed).integers(256, size=(count, 3, 4, 5), dtype=np.uint8)
    first = every_kind(channels_last=False)(images, generator=np.random.default_rng(seed))
    last = every_kind(channels_last=True)(images.transpose(0, 2, 3, 1), generator=np.random.default_rng(seed))
    assert last.shape == (count, 3, 4, 3)
    assert np.array_equal(last.transpose(0, 3, 1, 2), first)


@pytest.mark.parametrize("channels_last", [False, True])
@given(seed=st.integers(0, 99))
def test_a_single_image_is_a_batch_of_one(channels_last: bool, seed: int) -> None:
    change = every_kind(channels_last)
    image = np.random.default_rng(seed).integers(256, size=(4, 5, 3) if channels_last else (3, 4, 5), dtype=np.uint8)
    single = change(image, generator=np.random.default_rng(seed))
    assert single.shape == ((3, 4, 3) if channels_last else (3, 3, 4))
    assert np.array_equal(single, change(image[None], generator=np.random.default_rng(seed))[0])
    tensor = change(Tensor(image), generator=np.random.default_rng(seed))
    assert isinstance(tensor, Tensor) and np.array_equal(tensor.data, single)


def test_compose_takes_a_list_too() -> None:
    images = np.arange(4, dtype=np.uint8).reshape(1, 1, 2, 2)
    parts = [ToFloat(), Normalize([0.5], [0.5])]
    assert np.array_equal(Compose(parts)(images), Compose(*parts)(images))
    assert repr(Compose(parts)) == repr(Compose(*parts)) == repr(Compose(parts[:1], parts[1]))
    with pytest.raises(TypeError, match="Compose: 3 is not a transform; give functions, or a list of them"):
        Compose([ToFloat(), 3])  # type: ignore[list-item]


def test_the_default_generator_is_used_where_none_is_given() -> None:
    change, images = Compose(RandomCrop(3), RandomHorizontalFlip()), pictures((20, 1, 5, 5))
    manual_seed(1)
    first = change(images)
    manual_seed(1)
    assert np.array_equal(change(images), first)


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: RandomCrop(0), ValueError),
        (lambda: RandomCrop(2, padding=-1), ValueError),
        (lambda: RandomCrop(5)(np.zeros((1, 1, 4, 4))), ValueError),
        (lambda: RandomHorizontalFlip(1.5), ValueError),
        (lambda: RandomHorizontalFlip()(np.zeros((4, 4))), ValueError),
        (lambda: RandomHorizontalFlip(channels_last=True)(np.zeros((1, 1, 1, 4, 4))), ValueError),
        (lambda: RandomCrop(True), TypeError),
        (lambda: RandomCrop((2, 2.0)), TypeError),
        (lambda: Normalize([0.0] * 3, [1.0] * 3)(np.zeros((4, 4, 3))), ValueError),
        (lambda: Normalize([0.0] * 4, [1.0] * 4, channels_last=True)(np.zeros((4, 4, 3))), ValueError),
        (lambda: Normalize([0.0], [0.0]), ValueError),
        (lambda: Normalize([0.0, 0.0], [1.0]), ValueError),
        (lambda: Normalize([0.0], [1.0])(np.zeros((1, 3, 2, 2))), ValueError),
        (lambda: Normalize([0.0], [1.0])(np.zeros((1, 1, 2, 2), dtype=np.uint8)), TypeError),
        (lambda: ToFloat()(np.zeros((1, 1, 2, 2))), TypeError),
    ],
)
def test_bad_input_is_refused_by_name(make: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"^(RandomCrop|RandomHorizontalFlip|Normalize|ToFloat): "):
        make()


def test_transforms_say_what_they_do() -> None:
    change = Compose(ToFloat(), RandomCrop(3, padding=1), RandomHorizontalFlip(), Normalize([0.5], [0.2]))
    assert repr(change) == (
        "Compose(ToFloat(), RandomCrop(size=(3, 3), padding=1), "
        "RandomHorizontalFlip(p=0.5), Normalize(mean=[0.5], std=[0.2]))"
    )
