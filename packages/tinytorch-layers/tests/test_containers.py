"""Lists and tables of modules and parameters do what Python's do, and lose nothing on the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tinytorch.layers import (
    Identity,
    Linear,
    Module,
    ModuleDict,
    ModuleList,
    Parameter,
    ParameterDict,
    ParameterList,
    ReLU,
    Sequential,
    Tanh,
)


def names(module: Module) -> list[str]:
    return [name for name, _ in module.named_children()]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda parts: parts.append(abs),
        lambda parts: parts.extend([Tanh(), abs]),
        lambda parts: parts.insert(0, abs),
        lambda parts: parts.insert("0", Tanh()),
        lambda parts: parts.__setitem__(0, abs),
        lambda parts: parts.__setitem__(slice(0, 1), Tanh()),
        lambda parts: parts.pop("0"),
        lambda parts: parts["0"],
        lambda parts: parts.__add__([abs]),
    ],
)
def test_what_is_refused_leaves_the_list_as_it_was(wrong: Callable[[Any], Any]) -> None:
    for kind in (ModuleList([a := ReLU(), b := Identity()]), Sequential(a, b)):
        with pytest.raises(TypeError):
            wrong(kind)
        assert list(kind) == [a, b]
        assert names(kind) == ["0", "1"]


def test_what_follows_a_slice_replaces_nothing() -> None:
    a, b, c, d = ReLU(), Identity(), Tanh(), ReLU()
    tail = Sequential(a, b, c)[1:]
    assert names(tail) == ["1", "2"]
    tail.append(d)
    assert list(tail) == [b, c, d]
    assert list(Sequential({"1": a, "x": b}).append(c).append(d)) == [a, b, c, d]


def test_parts_go_and_the_later_ones_move_down() -> None:
    a, b, c, d = ReLU(), Identity(), Tanh(), ReLU()
    layers = ModuleList([a, b, c, d])
    del layers[1]
    assert (list(layers), names(layers)) == ([a, c, d], ["0", "1", "2"])
    assert layers.pop() is d
    assert layers.pop(0) is a
    assert (list(layers), names(layers)) == ([c], ["0"])
    layers.extend([a, b])
    del layers[:2]
    assert (list(layers), names(layers)) == ([b], ["0"])
    with pytest.raises(IndexError, match="index 3; it holds 1 Modules"):
        del layers[3]


def test_lists_are_added() -> None:
    a, b, c = ReLU(), Identity(), Tanh()
    both = ModuleList([a]) + ModuleList([b])
    assert isinstance(both, ModuleList)
    assert list(both) == [a, b]
    same = both
    same += [c]
    assert same is both
    assert list(both) == [a, b, c]
    assert (Sequential(a, b) + Sequential(c))(1.0).item() == Tanh()(1.0).item()


def test_named_parts_keep_their_names_when_others_come_and_go() -> None:
    model = Sequential({"first": ReLU(), "last": Tanh()})
    model.insert(1, Identity())
    assert names(model) == ["first", "1", "last"]
    del model[0]
    assert names(model) == ["0", "last"]


def test_a_list_of_parameters() -> None:
    scales = ParameterList(Parameter([float(n)]) for n in range(3))
    assert [name for name, _ in scales.named_parameters()] == ["0", "1", "2"]
    assert [scale.item() for scale in scales[1:]] == [1.0, 2.0]
    scales[0] = Parameter([5.0])
    assert scales.pop(0).item() == 5.0
    assert len(scales) == 2
    with pytest.raises(TypeError, match="ParameterList: got a ReLU; every part must be a Parameter"):
        scales.append(ReLU())


def test_a_table_is_a_dict() -> None:
    table = ModuleDict({"relu": (relu := ReLU())})
    table["tanh"] = (tanh := Tanh())
    table.update({"relu": (other := ReLU()), "linear": Linear(1, 1)})
    assert (list(table), len(table), "tanh" in table, "keys" in table) == (["relu", "tanh", "linear"], 3, True, False)
    assert [*table.keys()] == [name for name, _ in table.items()]
    assert [*table.values()][:2] == [other, tanh]
    assert relu not in table.values()
    assert list(ModuleDict(table)) == list(ModuleDict(list(table.items()))) == list(table)
    assert table.pop("tanh") is tanh
    del table["relu"]
    assert sorted(table.state_dict()) == ["linear.bias", "linear.weight"]
    with pytest.raises(KeyError, match="there is no 'relu'; there are linear"):
        table["relu"]
    for name in ("keys", "a.b", "", 3):
        with pytest.raises(TypeError, match="free name without dots"):
            table.update({"fits": ReLU(), name: ReLU()})
    assert list(table) == ["linear"]


def test_a_table_of_parameters() -> None:
    table = ParameterDict({"scale": Parameter([1.0])})
    assert [name for name, _ in table.named_parameters()] == ["scale"]
    with pytest.raises(TypeError, match="names a Tanh"):
        table["shift"] = Tanh()


class Holder(Module):
    def __init__(self, held: Any) -> None:
        self.held = held


@pytest.mark.parametrize(
    ("held", "way_out"),
    [
        ([Linear(1, 1)], "make it a ModuleList"),
        ((Linear(1, 1), 3), "make it a ModuleList"),
        ({"a": Linear(1, 1)}, "make it a ModuleDict"),
        ([Parameter([1.0])], "make it a ParameterList"),
        ({"a": Parameter([1.0])}, "make it a ParameterDict"),
        ([[Linear(1, 1)], [Linear(1, 1)]], "make it a ModuleList"),
        ([("first", Linear(1, 1))], "make it a ModuleList"),
        ({"a": [Parameter([1.0])]}, "make it a ParameterDict"),
    ],
)
def test_parts_that_would_never_be_learned_are_refused(held: Any, way_out: str) -> None:
    whole = Sequential(Linear(1, 1), Holder(held))
    looks: list[Callable[[], Any]] = [
        whole.parameters, whole.state_dict, whole.zero_grad, whole.num_parameters
    ]  # fmt: skip
    for look in looks:
        with pytest.raises(TypeError, match=way_out) as error:
            look()
        assert "Holder.held is a" in str(error.value)
    assert repr(whole).startswith("Sequential")


def test_lists_of_what_is_found_elsewhere_are_nobodys_business() -> None:
    module = Holder([])
    module.first, module.second = Linear(1, 1), Linear(1, 1)  # type: ignore[attr-defined]
    module.held = [module.first, module.second]  # type: ignore[attr-defined]
    module.numbers, module.hidden = [1, 2], lambda: Linear(1, 1)  # type: ignore[attr-defined]
    assert len(module.parameters()) == 4
    assert module.parameters(recurse=False) == []
