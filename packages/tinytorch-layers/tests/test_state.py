"""State is exchanged whole or not at all, in memory and in files."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors

import tinytorch.layers as nn
from tinytorch.layers import (
    Linear,
    Module,
    Parameter,
    Sequential,
    StateError,
    TensorFile,
    load,
    load_metadata,
    load_tensors,
    save,
    save_tensors,
)
from tinytorch.tensor import FileFormatError, Tensor, manual_seed, ones, zeros


def model() -> Sequential:
    return Sequential(nn.Embedding(5, 3), Linear(3, 4), nn.ReLU(), Linear(4, 2))


class Tied(Module):
    def __init__(self) -> None:
        self.embed = nn.Embedding(5, 3)
        self.head = Linear(5, 3, bias=False)
        self.head.weight = self.embed.weight
        self.register_buffer("count", Tensor([0]))
        self.register_buffer("scratch", zeros(3), persistent=False)


def values(module: Module) -> dict[str, np.ndarray]:
    return {name: tensor.data.copy() for name, tensor in module.state_dict().items()}


def same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def test_the_state_shares_memory_and_carries_no_gradients() -> None:
    layer = Linear(2, 2)
    state = layer.state_dict()
    assert list(state) == ["weight", "bias"]
    assert not state["weight"].requires_grad
    assert np.shares_memory(state["weight"].data, layer.weight.data)


def test_loading_makes_two_models_equal() -> None:
    one, other = model(), model()
    assert not same(values(one), values(other))
    assert other.load_state_dict(one.state_dict()) == ([], [])
    assert same(values(one), values(other))
    assert not np.shares_memory(one[1].weight.data, other[1].weight.data)


def test_every_misfit_is_listed_and_nothing_changed() -> None:
    target = model()
    before = values(target)
    wrong: dict[str, Any] = values(model())
    wrong["3.weight"] = np.zeros((2, 4), np.float32)
    wrong["1.bias"] = np.zeros(7, np.float32)
    wrong["1.weight"] = wrong["1.weight"].astype(np.float64)
    wrong["extra"] = np.zeros(1)
    del wrong["0.weight"], wrong["3.bias"]
    with pytest.raises(ValueError, match="6 entries do not fit") as error:
        target.load_state_dict(wrong)
    for line in (
        "missing: 0.weight",
        "missing: 3.bias",
        "unexpected: extra",
        "wrong shape: 1.bias is (4,), the value is (7,)",
        "wrong shape: 3.weight is (4, 2), the value is (2, 4) (Linear weights are (in_features, out_features)",
        "wrong dtype: 1.weight is float32, the value is float64; convert one with astype",
    ):
        assert line in str(error.value)
    assert same(values(target), before)


def test_names_may_differ_when_it_is_said_but_shapes_may_not() -> None:
    target = model()
    part: dict[str, Any] = {"1.bias": np.full(4, 7.0, np.float32), "extra": np.zeros(1)}
    mismatch = target.load_state_dict(part, strict=False)
    assert mismatch.unexpected_keys == ["extra"]
    assert mismatch.missing_keys == ["0.weight", "1.weight", "3.weight", "3.bias"]
    np.testing.assert_array_equal(target[1].bias.data, 7.0)
    with pytest.raises(ValueError, match="1 entry does not fit"):
        target.load_state_dict({"1.bias": np.zeros(3, np.float32)}, strict=False)


def test_values_that_lose_nothing_are_converted() -> None:
    wide = model().astype("float64")
    wide.load_state_dict(model().state_dict())
    assert wide[1].weight.dtype == np.float64
    half = {name: value.astype(np.float16) for name, value in values(model()).items()}
    model().load_state_dict(half)


def test_one_name_of_a_shared_parameter_is_enough_and_two_must_agree() -> None:
    target = Tied()
    state: dict[str, Any] = values(Tied())
    one_name = {name: value for name, value in state.items() if name != "embed.weight"}
    assert target.load_state_dict(one_name) == ([], [])
    np.testing.assert_array_equal(target.embed.weight.data, state["head.weight"])
    state["head.weight"] = state["head.weight"] + 1
    with pytest.raises(ValueError, match=r"one parameter, two values: embed.weight and head.weight"):
        target.load_state_dict(state)


def test_loading_between_forward_and_backward_is_noticed() -> None:
    layer = Linear(2, 2)
    loss = (layer(ones(1, 2)) * layer(ones(1, 2))).sum()
    layer.load_state_dict(Linear(2, 2).state_dict())
    with pytest.raises(RuntimeError, match="changed in place"):
        loss.backward()


def test_a_file_holds_the_state_and_text(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    one, other = model(), model()
    save(one, path, {"steps": "12", "name": "größer"})
    assert load(other, path) == ([], [])
    assert same(values(one), values(other))
    assert load_metadata(path) == {"steps": "12", "name": "größer"}
    assert os.listdir(tmp_path) == ["model.safetensors"]
    save(one, str(path))
    assert load_metadata(str(path)) == {}


def test_a_shared_parameter_is_written_once(tmp_path: Path) -> None:
    path = tmp_path / "tied.safetensors"
    one, other = Tied(), Tied()
    save(one, path)
    assert load_tensors(path).keys() == {"embed.weight", "count"}
    load(other, path)
    assert same(values(one), values(other))
    assert other.head.weight is other.embed.weight


def test_every_dtype_shape_and_layout_comes_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    tensors: dict[str, Any] = {
        **{kind: rng.integers(0, 2, (2, 3)).astype(kind) for kind in ("f2", "f4", "f8", "i1", "i4", "i8", "u1", "?")},
        "scalar": np.float32(3.5),
        "empty": np.zeros((0, 3), np.float32),
        "transposed": rng.normal(size=(3, 4)).T,
        "reversed": np.arange(5)[::-1],
        "tensor": Tensor([1.0, 2.0], requires_grad=True),
        "name with spaces / and: signs": np.ones(1),
    }
    save_tensors(tensors, tmp_path / "all")
    found = load_tensors(tmp_path / "all")
    assert found.keys() == tensors.keys()
    for name, value in tensors.items():
        expected = value.data if isinstance(value, Tensor) else value
        assert found[name].dtype == expected.dtype
        np.testing.assert_array_equal(found[name], expected)
    save_tensors({}, tmp_path / "none")
    assert load_tensors(tmp_path / "none") == {}


def test_bfloat16_is_read_as_the_float32_of_equal_value(tmp_path: Path) -> None:
    expected = np.array([[1.5, -2.0, 3.140625]], np.float32)
    upper = (expected.view(np.uint32) >> 16).astype("<u2").tobytes()
    header = json.dumps({"x": {"dtype": "BF16", "shape": [1, 3], "data_offsets": [0, 6]}}).encode()
    (tmp_path / "brain").write_bytes(struct.pack("<Q", len(header)) + header + upper)
    np.testing.assert_array_equal(load_tensors(tmp_path / "brain")["x"], expected)


def test_a_file_cut_anywhere_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    path, target = tmp_path / "model", model()
    save(model(), path)
    whole, before = path.read_bytes(), values(target)
    for length in (0, 1, 7, 8, 30, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(FileFormatError, match=r"model \(\d+ bytes\) is truncated or not a safetensors file"):
            load(target, path)
    for content in (b"not a model at all", b"\xff" * 64, whole[:8] + b"[" + whole[9:]):
        path.write_bytes(content)
        with pytest.raises(FileFormatError, match="is truncated or not a safetensors file"):
            load(target, path)
    assert same(values(target), before)


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [1, 2]},
        {"shape": [-3, -1]},
        {"shape": [3.0]},
        {"shape": [True] * 99},
        {"shape": "3"},
        {"shape": None},
        {"data_offsets": [4, 16]},
        {"data_offsets": [0, 8]},
        {"data_offsets": [0, 24]},
        {"data_offsets": [0]},
        {"data_offsets": ["0", "12"]},
        {"dtype": "F64"},
        {"dtype": ["F32"]},
    ],
)
def test_a_header_that_contradicts_itself_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    def write(entry: Any, **others: Any) -> Path:
        header = json.dumps({"x": entry, **others}).encode()
        (tmp_path / "file").write_bytes(struct.pack("<Q", len(header)) + header + bytes(12))
        return tmp_path / "file"

    good = {"dtype": "F32", "shape": [3], "data_offsets": [0, 12]}
    assert load_tensors(write(good))["x"].tolist() == [0.0] * 3
    for path in (write(good | change), write(good, y=good | change), write(5), write(good, __metadata__={"a": 1})):
        with pytest.raises(FileFormatError, match="truncated or not a safetensors file"):
            load_tensors(path)


def test_a_file_that_is_replaced_while_it_is_read_stays_the_same(tmp_path: Path) -> None:
    path = tmp_path / "run"
    save_tensors({"a": np.zeros(3), "b": np.zeros(2)}, path, {"step": "1"})
    with TensorFile(path) as file:
        save_tensors({"b": np.ones(5)}, path, {"step": "2"})
        assert file.metadata == {"step": "1"}
        assert file.shapes == {"a": (3,), "b": (2,)}
        assert {name: array.tolist() for name, array in file.items()} == {"a": [0.0] * 3, "b": [0.0] * 2}
    assert load_metadata(path) == {"step": "2"}


def test_a_file_that_is_replaced_while_it_is_opened_is_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(path: Path, name: str, upper: int) -> Path:
        header = json.dumps({name: {"dtype": "BF16", "shape": [1], "data_offsets": [0, 2]}}).encode()
        path.write_bytes(struct.pack("<QH", len(header), 0)[:8] + header + struct.pack("<H", upper))
        return path

    path, newer = write(tmp_path / "x", "x", 0x3F80), write(tmp_path / "newer", "longer name", 0x4000)
    opened = safetensors.safe_open

    def replace_first(*args: Any, **options: Any) -> Any:
        if newer.exists():
            newer.replace(path)
        return opened(*args, **options)

    monkeypatch.setattr(safetensors, "safe_open", replace_first)
    assert load_tensors(path) == {"longer name": np.array([2.0], np.float32)}


def test_the_header_is_read_once_however_many_arrays_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    upper = np.array([1.5, -2.0], np.float32).view(np.uint32) >> 16
    entries = {f"{n}": {"dtype": "BF16", "shape": [2], "data_offsets": [4 * n, 4 * n + 4]} for n in range(100)}
    header, parse, parsed = json.dumps(entries).encode(), json.loads, []
    (tmp_path / "many").write_bytes(struct.pack("<Q", len(header)) + header + upper.astype("<u2").tobytes() * 100)
    monkeypatch.setattr(json, "loads", lambda text: parsed.append(text) or parse(text))
    assert all(array.tolist() == [1.5, -2.0] for array in load_tensors(tmp_path / "many").values())
    assert len(parsed) == 1


def test_numbers_lie_at_multiples_of_their_size(tmp_path: Path) -> None:
    arrays = {kind: np.ones(3, kind) for kind in ("u1", "f8", "f2", "?", "i4")}
    save_tensors(arrays, tmp_path / "aligned")
    content = (tmp_path / "aligned").read_bytes()
    length = int.from_bytes(content[:8], "little")
    for name, entry in json.loads(content[8 : 8 + length]).items():
        assert (8 + length + entry["data_offsets"][0]) % arrays[name].itemsize == 0


def test_numbers_of_the_other_byte_order_are_written_in_this_one(tmp_path: Path) -> None:
    save_tensors({"x": np.array([1.0, 2.0], ">f4")}, tmp_path / "x")
    assert load_tensors(tmp_path / "x")["x"].tolist() == [1.0, 2.0]


def test_a_file_of_another_model_is_refused_by_name(tmp_path: Path) -> None:
    save(Linear(2, 3), tmp_path / "other")
    with pytest.raises(
        StateError, match=r"(?s)other: load_state_dict: Sequential was left as it was.*missing: 0.weight"
    ):
        load(model(), tmp_path / "other")
    assert load(model(), tmp_path / "other", strict=False).unexpected_keys == ["bias", "weight"]


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no file"):
        load(model(), tmp_path / "absent")
    with pytest.raises(IsADirectoryError, match="is a folder"):
        load(model(), tmp_path)
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        save(model(), tmp_path / "absent" / "model")


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model"
    save(model(), path)
    before = path.read_bytes()

    def fail(*args: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        save(model(), path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["model"]


def test_what_cannot_be_written_is_refused_before_anything_is(tmp_path: Path) -> None:
    wrong: list[tuple[Any, Any]] = [
        ({"x": [1.0]}, None),
        ({"x": np.array(["a"])}, None),
        ({"x": np.ones(1, complex)}, None),
        ({"x": np.ones(1, np.longdouble)}, None),
        ({1: np.zeros(1)}, None),
        ({"x": np.zeros(1)}, {"steps": 3}),
    ]
    for tensors, metadata in wrong:
        with pytest.raises(TypeError, match="save: "):
            save_tensors(tensors, tmp_path / "wrong", metadata)
    with pytest.raises(ValueError, match="could not be read back"):
        save_tensors({"__metadata__": np.zeros(1)}, tmp_path / "wrong")
    assert os.listdir(tmp_path) == []


def test_values_that_are_no_numbers_are_listed(tmp_path: Path) -> None:
    target, state = Linear(2, 2), Linear(2, 2).state_dict()
    for wrong in (None, "text", [[1.0], [1.0, 2.0]]):
        with pytest.raises(ValueError, match="not numbers: weight is"):
            target.load_state_dict({**state, "weight": wrong})
    for other in ([1, 2], None, "model.safetensors"):
        with pytest.raises(TypeError, match="must be tensors or arrays by name"):
            target.load_state_dict(other)  # type: ignore[arg-type]
    for function in (save, load):
        with pytest.raises(TypeError, match="got a dict, not a Module"):
            function(state, tmp_path / "model")  # type: ignore[arg-type]


def test_a_saved_file_can_be_read_by_whoever_could_read_files_before(tmp_path: Path) -> None:
    plain, path = tmp_path / "plain", tmp_path / "model"
    plain.touch()
    save(model(), path)
    assert path.stat().st_mode == plain.stat().st_mode
    path.chmod(0o640)
    save(model(), path)
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "latest").symlink_to(tmp_path / "real")
    save(model(), tmp_path / "latest")
    assert (tmp_path / "latest").is_symlink()
    assert load_tensors(tmp_path / "real").keys() == model().state_dict().keys()


def test_only_files_are_replaced_and_read(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(FileExistsError, match="device or pipe"):
        save(model(), pipe)
    with pytest.raises(ValueError, match="device or pipe"):
        load(model(), pipe)
    with pytest.raises(IsADirectoryError, match="name a file in it"):
        save(model(), tmp_path)
    assert os.listdir(tmp_path) == ["pipe"]
    assert pipe.is_fifo()


def test_a_name_may_be_as_long_as_a_file_name(tmp_path: Path) -> None:
    save(model(), tmp_path / ("x" * 250))
    assert os.listdir(tmp_path) == ["x" * 250]


@pytest.mark.parametrize("dtype", ["F8_E4M3", "F8_E5M2", "F4"])
def test_numbers_that_numpy_does_not_have_are_refused(tmp_path: Path, dtype: str) -> None:
    shape = [8] if dtype == "F4" else [4]
    header = json.dumps({"x": {"dtype": dtype, "shape": shape, "data_offsets": [0, 4]}}).encode()
    (tmp_path / "narrow").write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    # older versions of safetensors do not know F4 themselves
    unknown = "|not a safetensors file" if dtype == "F4" else ""
    with pytest.raises(FileFormatError, match=f"x has dtype {dtype}, which NumPy does not have{unknown}"):
        load_tensors(tmp_path / "narrow")


def test_a_file_that_may_not_be_read_is_there_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(model(), tmp_path / "secret")

    def refuse(*args: Any) -> None:
        raise PermissionError("not yours")

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(PermissionError, match="not yours"):
        load(model(), tmp_path / "secret")


def test_the_same_seed_gives_the_same_model() -> None:
    manual_seed(3)
    one = model()
    manual_seed(3)
    assert same(values(one), values(model()))
    rng = np.random.default_rng
    first, second = Linear(2, 3, generator=rng(1)), Linear(2, 3, generator=rng(1))
    assert same(values(first), values(second))
    assert isinstance(first.weight, Parameter)


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    """Twelve names have one order by chance once in half a billion times."""
    metadata = {f'{name} \u00e9\u20ac\U0001f600 "\\/\x01\x1f\x7f\n\t': name * 3 for name in "lkjihgfedcba"}
    paths = [tmp_path / "one.safetensors", tmp_path / "other.safetensors"]
    for path, names in zip(paths, (sorted(metadata), sorted(metadata, reverse=True)), strict=True):
        save_tensors({"b": np.ones(3), "a": np.zeros((2, 2), np.int8)}, path, {name: metadata[name] for name in names})
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert list(load_metadata(paths[0])) == sorted(metadata)
    assert load_metadata(paths[0]) == metadata
    assert load_tensors(paths[0])["b"].tolist() == [1.0, 1.0, 1.0]
