"""A lowered function gives the numbers and dtypes of the module, or there is none."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinytorch.tensor as tt
from tinytorch.layers import (
    GELU,
    Dropout,
    Embedding,
    Flatten,
    Identity,
    LayerNorm,
    LeakyReLU,
    Linear,
    LogSoftmax,
    Module,
    ReLU,
    RMSNorm,
    Sequential,
    Sigmoid,
    SiLU,
    Softmax,
    Tanh,
    changes,
    lower,
    lowers,
)
from tinytorch.layers import functional as F
from tinytorch.tensor import Tensor

FLOATS = ["float16", "float32", "float64"]
LAYERS: dict[str, Callable[[], Module]] = {
    "Linear": lambda: Linear(6, 5),
    "Linear without bias": lambda: Linear(6, 5, bias=False),
    "LayerNorm": lambda: LayerNorm(6),
    "LayerNorm without bias": lambda: LayerNorm(6, bias=False),
    "LayerNorm without weight": lambda: LayerNorm(6, elementwise_affine=False),
    "LayerNorm over two axes": lambda: LayerNorm((2, 6)),
    "RMSNorm": lambda: RMSNorm(6, eps=1e-3),
    "RMSNorm without weight": lambda: RMSNorm(6, elementwise_affine=False),
    "RMSNorm over two axes": lambda: RMSNorm((2, 6)),
    "Dropout": lambda: Dropout(0.5).eval(),
    "Dropout of nothing": lambda: Dropout(0.0),
    "Identity": Identity,
    "Flatten": Flatten,
    "Flatten from the start": lambda: Flatten(0, 1),
    "ReLU": ReLU,
    "LeakyReLU": lambda: LeakyReLU(0.2),
    "GELU": GELU,
    "exact GELU": lambda: GELU("none"),
    "SiLU": SiLU,
    "Sigmoid": Sigmoid,
    "Tanh": Tanh,
    "Softmax": Softmax,
    "Softmax along the first axis": lambda: Softmax(0),
    "LogSoftmax": LogSoftmax,
    "Sequential": lambda: Sequential(Linear(6, 8), GELU(), Sequential(RMSNorm(8)), Dropout(0.1).eval(), Linear(8, 2)),
    "empty Sequential": Sequential,
}


def assert_same(module: Module, x: np.ndarray[Any, Any]) -> None:
    function = lower(module)
    assert function is not None
    expected, found = module(tt.Tensor(x, x.dtype)).data, function(x)
    assert type(found) is np.ndarray
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("own", FLOATS)
def test_a_lowered_layer_gives_the_same_bits(name: str, dtype: str, own: str) -> None:
    rng = np.random.default_rng(0)
    module = LAYERS[name]().astype(own)
    for parameter in module.parameters():
        parameter.data[...] = rng.normal(size=parameter.shape)
    for scale in (1.0, 100.0):  # squares of the second are beyond float16
        for leading in ((2,), (1, 2), (3, 2), (2, 1, 2)):
            assert_same(module, (scale * rng.normal(size=(*leading, 6))).astype(dtype))


def test_a_lowered_flatten_makes_a_row_of_one_of_a_number() -> None:
    assert_same(Flatten(), np.array(3.0))


@pytest.mark.parametrize("name", ["Linear", "LayerNorm", "RMSNorm", "ReLU", "GELU", "SiLU", "Softmax", "Sigmoid"])
@pytest.mark.parametrize("dtype", ["int64", "int8", "uint8", "bool"])
def test_a_lowered_layer_gives_the_same_bits_for_integers(name: str, dtype: str) -> None:
    x = np.random.default_rng(1).integers(0, 2, (3, 6)).astype(dtype)
    for own in FLOATS:
        assert_same(LAYERS[name]().astype(own), x)


@pytest.mark.parametrize("own", FLOATS)
@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8"])
def test_a_lowered_embedding_gives_the_same_bits(own: str, dtype: str) -> None:
    module = Embedding(5, 3, padding_idx=1).astype(own)
    for shape in ((), (4,), (2, 3), (0,)):
        assert_same(module, np.random.default_rng(2).integers(0, 5, shape).astype(dtype))


def test_a_lowered_primitive_has_the_dtypes_of_the_primitive() -> None:
    rng = np.random.default_rng(3)
    arrays = [rng.normal(size=(2, 2)).astype(dtype) for dtype in FLOATS] + [rng.integers(1, 4, (2, 2), np.int8)]
    for primitive in (tt.add, tt.matmul, tt.divide):
        for x in arrays:
            for y in arrays:
                expected, found = primitive(Tensor(x, x.dtype), Tensor(y, y.dtype)).data, primitive.lower()(x, y)
                assert (found.dtype, found.tobytes()) == (expected.dtype, expected.tobytes())


def test_a_lowered_function_raises_the_errors_of_the_module() -> None:
    x = np.ones((1, 2))
    wrong: list[tuple[Module, np.ndarray[Any, Any]]] = [
        (Linear(3, 2), x), (Linear(3, 2), np.ones((0, 2, 2))), (LayerNorm(3), x), (Embedding(3, 2), np.array(9)),
        (Flatten(2), x), (Flatten(1, 0), x),
    ]  # fmt: skip
    for module, x in wrong:
        with pytest.raises(Exception, match=r"\w+: ") as expected:
            module(Tensor(x))
        with pytest.raises(type(expected.value)) as found:
            lower(module)(x)  # type: ignore[misc]
        assert str(found.value) == str(expected.value)


def test_a_lowered_function_reads_the_weights_when_it_runs() -> None:
    module = Linear(2, 2)
    function, x = lower(module), np.ones((1, 2), np.float32)
    assert function is not None
    module.weight.data[...] = 3.0
    module.bias.data = np.full(2, 0.5, np.float32)  # type: ignore[union-attr]
    assert function(x).tolist() == [[6.5, 6.5]]


def test_a_lowered_function_is_seen_by_no_handler() -> None:
    class Seen:
        level = tt.OBSERVE
        names: list[str] = []  # noqa: RUF012

        def __call__(self, following: Any, primitive: Any, args: Any, params: Any) -> Any:
            self.names.append(primitive.name)
            return following(primitive, args, params)

    function = lower(LAYERS["Sequential"]())
    assert function is not None
    with tt.handling(Seen()):
        function(np.ones((2, 6), np.float32))
    assert Seen.names == []


class Doubled(Linear):
    def forward(self, x: Any) -> Tensor:
        return super().forward(x) * 2


class Called(Linear):
    def __call__(self, x: Any) -> Any:
        return super().__call__(x) * 2


class Named(Linear):
    def extra_repr(self) -> str:
        return "named"


@pytest.mark.parametrize("cls", [Doubled, Called])
def test_a_class_with_a_forward_of_its_own_is_not_lowered(cls: type[Linear]) -> None:
    assert lower(cls(2, 2)) is None
    assert lower(Sequential(Linear(2, 2), cls(2, 2))) is None


def test_a_class_that_overrides_something_else_is_lowered() -> None:
    assert lower(Named(2, 2)) is not None


def test_a_forward_of_the_instance_is_not_lowered_until_it_is_gone() -> None:
    module = Linear(2, 2)
    before = changes()
    module.forward = lambda x: x  # type: ignore[method-assign]
    assert lower(module) is None
    assert changes() > before
    del module.forward
    assert lower(module) is not None


def test_hooks_are_not_lowered_until_they_are_gone() -> None:
    module = Sequential(Linear(2, 2))
    handle = module[0].register_forward_hook(lambda *_: None)
    assert lower(module) is None
    handle.remove()
    assert lower(module) is not None


def test_active_dropout_is_not_lowered() -> None:
    module = Sequential(Linear(2, 2), Dropout(0.5))
    assert lower(module) is None
    before = changes()
    assert lower(module.eval()) is not None
    assert changes() > before


@pytest.mark.parametrize(("owner", "name"), [(Linear, "forward"), (Linear, "__call__"), (Module, "__call__")])
def test_a_patched_class_is_not_lowered_and_counts_as_a_change(
    owner: type, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = Named(2, 2)
    assert lower(module) is not None
    before = changes()
    monkeypatch.setattr(owner, name, lambda self, x: x)
    assert [changes(), changes()] == [before + 1] * 2
    assert lower(module) is None
    monkeypatch.undo()
    assert [changes(), changes()] == [before + 2] * 2
    assert lower(module) is not None


def test_an_iteration_of_its_own_is_not_lowered() -> None:
    class Reversed(Sequential):
        def __iter__(self) -> Any:
            return reversed(list(super().__iter__()))

    assert lower(Reversed(Linear(2, 2), ReLU())) is None


def test_a_part_that_cannot_be_lowered_makes_the_whole_none() -> None:
    class Part(Module):
        def forward(self, x: Any) -> Any:
            return x

    assert lower(Part()) is None
    assert lower(Sequential(ReLU(), Part())) is None


def test_a_method_called_lower_means_nothing_in_a_module_unless_it_is_declared() -> None:
    class Text(Module):
        def lower(self, text: str) -> str:
            return text.lower()

    class Both(Module):
        def __init__(self) -> None:
            self.lower = Linear(2, 2)

    assert lower(Text()) is None
    assert lower(Both()) is None


@pytest.mark.parametrize("dtype", FLOATS)
def test_other_methods_are_lowered_by_name(dtype: str) -> None:
    table, x = Embedding(5, 4, dtype=dtype), np.linspace(-1, 1, 8, dtype=dtype).reshape(2, 4)
    function = lower(table, "unembed")
    assert function is not None
    expected, found = table.unembed(tt.Tensor(x, dtype)).data, function(x)
    assert (found.dtype, found.tobytes()) == (expected.dtype, expected.tobytes())
    assert np.array_equal(expected, F.linear(tt.Tensor(x, dtype), table.weight.T).data)
    table.weight.data[:] = 0
    assert not function(x).any()  # the numbers are read when it runs
    assert lower(table, "extra_repr") is None
    table.unembed = lambda x: x  # type: ignore[method-assign, assignment]
    assert lower(table, "unembed") is None
    assert lower(table) is not None


def test_any_object_may_offer_a_lowered_function() -> None:
    class Core:
        def lower(self) -> Callable[[Any], Any]:
            return lambda x: x + 1

    function = lower(Core())
    assert function is not None
    assert function(1) == 2
    assert lower(F.relu)(np.array([-1.0])).tolist() == [0.0]  # type: ignore[misc]
    assert lower(len) is None


def test_a_subclass_declares_for_itself() -> None:
    class Twice(Linear):
        def forward(self, x: Any) -> Tensor:
            return super().forward(x) * 2

        @lowers("forward")
        def lower(self) -> Callable[[Any], Any]:
            linear = F.linear.lower()
            return lambda x: linear(x, self.weight.data, self.bias.data) * 2  # type: ignore[union-attr]

    assert_same(Twice(2, 2), np.ones((1, 2), np.float32))


def test_the_first_float16_that_is_met_is_widened() -> None:
    code = """
import numpy as np
from tinytorch.layers import functional as F
x = np.array([60000.0, 60000.0], np.float16)
assert F.softmax.lower()(x).tolist() == [0.5, 0.5]
assert F.rms_norm.lower()(x).tolist() == [1.0, 1.0], F.rms_norm.lower()(x)
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)


def test_installed_kernels_may_know_a_better_function() -> None:
    layer, x = Linear(2, 2), np.ones((1, 2), np.float32)
    known: dict[Any, Any] = {Linear: lambda module, usual: lambda x: -usual(x) if module is layer else usual(x)}
    usual: Any = lower(layer)
    with tt.handling(tt.Kernels(known)):
        better, other = lower(layer), lower(LayerNorm(2))
        assert better is not None and other is not None
        np.testing.assert_array_equal(better(x), -usual(x))
        known[Linear] = lambda module, usual: NotImplemented
        np.testing.assert_array_equal(lower(layer)(x), usual(x))  # type: ignore[misc]
