"""A module finds its parameters, calls its hooks, and says what it is."""

from __future__ import annotations

import copy
import sys
from typing import Any

import numpy as np
import pytest

import tinytorch.layers as nn
from tinytorch.layers import Embedding, Linear, Module, ModuleList, Parameter, Sequential
from tinytorch.tensor import Tensor, ones, zeros


class Block(Module):
    def __init__(self, width: int = 3) -> None:
        self.first = Linear(width, width)
        self.norm = nn.LayerNorm(width)
        self.scale = Parameter(ones(width))
        self.register_buffer("seen", zeros(2))
        self.register_buffer("scratch", zeros(2), persistent=False)
        self.callback = abs

    def forward(self, x: Any) -> Tensor:
        return self.norm(self.first(x)) * self.scale


class Tied(Module):
    def __init__(self) -> None:
        self.embed = nn.Embedding(5, 3)
        self.blocks = ModuleList([Block(), Block()])
        self.head = Linear(5, 3, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, tokens: Any) -> Tensor:
        x = self.embed(tokens)
        for block in self.blocks:
            x = block(x)
        return x @ self.head.weight.T


def test_attributes_are_found_by_name_in_the_order_they_were_set() -> None:
    block = Block()
    assert [name for name, _ in block.named_parameters()] == [
        "scale", "first.weight", "first.bias", "norm.weight", "norm.bias"
    ]  # fmt: skip
    assert [name for name, _ in block.named_buffers()] == ["seen", "scratch"]
    assert [name for name, _ in block.named_children()] == ["first", "norm"]
    assert [name for name, _ in block.named_modules()] == ["", "first", "norm"]
    assert block.callback is abs
    assert block.num_parameters() == 3 + 9 + 3 + 3 + 3


def test_a_shared_parameter_counts_once_and_keeps_both_names_in_the_state() -> None:
    model = Tied()
    names = [name for name, _ in model.named_parameters()]
    assert "embed.weight" in names
    assert "head.weight" not in names
    assert len(model.parameters()) == len(names) == len({id(p) for p in model.parameters()})
    assert {"embed.weight", "head.weight"} <= model.state_dict().keys()
    model(np.array([[1, 2]])).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_a_shared_module_is_listed_once() -> None:
    inner = Linear(2, 2)
    model = Sequential(inner, nn.ReLU(), inner)
    assert [name for name, _ in model.named_modules()] == ["", "0", "1"]
    assert model.num_parameters() == 6
    assert sorted(model.state_dict()) == ["0.bias", "0.weight", "2.bias", "2.weight"]


def test_what_a_module_lists_can_be_counted_joined_and_gone_through_twice() -> None:
    model = Sequential(Linear(2, 2), Linear(2, 2))
    parts = (
        model.parameters(), model.named_parameters(), model.buffers(), model.named_buffers(), model.children(),
        model.named_children(), model.modules(), model.named_modules(),
    )  # fmt: skip
    assert [len(part) for part in parts] == [4, 4, 0, 0, 2, 2, 3, 3]
    assert all(type(part) is list for part in parts)


def test_assigning_none_and_deleting_take_a_parameter_away() -> None:
    layer = Linear(2, 2)
    layer.bias = None
    assert [name for name, _ in layer.named_parameters()] == ["weight"]
    del layer.weight
    assert layer.parameters() == []


def test_a_plain_tensor_cannot_take_the_place_of_a_parameter() -> None:
    layer = Linear(2, 2)
    with pytest.raises(TypeError, match="weight is a parameter"):
        layer.weight = zeros(2, 2)  # type: ignore[assignment]
    layer.weight = Parameter(zeros(2, 2))


def test_submodules_are_reached_and_replaced_by_dotted_names() -> None:
    model = Tied()
    assert model.get_submodule("blocks.1.norm") is model.blocks[1].norm
    assert model.get_submodule("") is model
    new = nn.Identity()
    model.set_submodule("blocks.0.norm", new)
    assert model.blocks[0].norm is new
    for name, message in (("blocks.2", "blocks has no submodule '2'; it has 0, 1"), ("heads", "Tied has no submodule")):
        with pytest.raises(AttributeError, match=message):
            model.get_submodule(name)
    with pytest.raises(AttributeError, match="no submodule 'tail'"):
        model.set_submodule("tail", new)
    with pytest.raises(AttributeError, match="cannot replace itself"):
        model.set_submodule("", new)
    with pytest.raises(TypeError, match="must be a Module"):
        model.set_submodule("head", abs)  # type: ignore[arg-type]


def test_modes_reach_every_part() -> None:
    model = Tied()
    assert all(module.training for module in model.modules())
    assert model.eval() is model
    assert not any(module.training for module in model.modules())
    assert all(module.training for module in model.train().modules())


def test_freezing_and_forgetting() -> None:
    model = Tied()
    model(np.array([[1]])).sum().backward()
    model.zero_grad()
    assert all(parameter.grad is None for parameter in model.parameters())
    model.blocks.requires_grad_(False)
    assert model.num_parameters(trainable=True) == 15
    model(np.array([[1]])).sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is not None] == ["embed.weight"]


def test_apply_visits_parts_before_the_whole_in_order() -> None:
    model, visited = Tied(), []
    model.apply(lambda module: visited.append(module))
    assert visited[-1] is model
    assert visited[0] is model.embed
    assert visited.index(model.blocks[0]) < visited.index(model.blocks[1]) < visited.index(model.blocks)
    assert len(visited) == len(model.modules())


def test_astype_converts_parameters_buffers_and_gradients() -> None:
    model = Tied()
    model.blocks[0].register_buffer("count", Tensor([1]))
    model(np.array([[1]])).sum().backward()
    assert model.astype("float64") is model
    assert {p.dtype.name for p in model.parameters()} == {"float64"}
    assert {p.grad.dtype.name for p in model.parameters() if p.grad is not None} == {"float64"}
    assert sorted(b.dtype.name for b in model.buffers()) == ["float64"] * 4 + ["int64"]
    assert model.head.weight is model.embed.weight
    with pytest.raises(TypeError, match="int64"):
        model.astype("int64")


def test_a_deep_copy_shares_nothing_and_keeps_what_is_tied_tied() -> None:
    model = Tied()
    twin = copy.deepcopy(model)
    assert twin.head.weight is twin.embed.weight
    assert isinstance(twin.embed.weight, Parameter)
    assert twin.embed.weight.requires_grad
    for (name, one), (other_name, other) in zip(model.named_parameters(), twin.named_parameters(), strict=True):
        assert name == other_name
        assert not np.shares_memory(one.data, other.data)
        np.testing.assert_array_equal(one.data, other.data)


def test_hooks_run_around_forward_in_order_and_may_replace() -> None:
    layer, log = nn.Identity(), []
    handles = [
        layer.register_forward_pre_hook(lambda module, args, kwargs: log.append(("before", args))),
        layer.register_forward_pre_hook(lambda module, args, kwargs: ((args[0] + 1,), kwargs)),
        layer.register_forward_hook(lambda module, args, kwargs, output: output * 10),
        layer.register_forward_hook(lambda module, args, kwargs, output: log.append(("after", args, output))),
    ]
    assert layer(1) == 20
    assert log == [("before", (1,)), ("after", (2,), 20)]
    for handle in handles:
        handle.remove()
        handle.remove()
    assert layer(1) == 1
    assert vars(layer).get("_hooks") is None


def test_a_hook_sees_keywords_and_may_remove_itself() -> None:
    class Add(Module):
        def forward(self, x: int, y: int = 0) -> int:
            return x + y

    module, seen = Add(), []

    def once(module: Module, args: Any, kwargs: Any) -> None:
        seen.append(kwargs)
        handle.remove()

    handle = module.register_forward_pre_hook(once)
    assert module(1, y=2) == 3
    assert module(1, y=3) == 4
    assert seen == [{"y": 2}]


def test_hooks_of_one_module_are_not_those_of_another() -> None:
    one, other = nn.Identity(), nn.Identity()
    one.register_forward_hook(lambda module, args, kwargs, output: "hooked")
    assert (one(1), other(1)) == ("hooked", 1)


def test_a_call_without_hooks_runs_nothing_but_the_forward() -> None:
    called: list[str] = []
    module = nn.Identity()
    sys.setprofile(lambda frame, event, _: called.append(frame.f_code.co_qualname) if event == "call" else None)
    try:
        module(1)
    finally:
        sys.setprofile(None)
    assert called == ["Module.__call__", "Identity.forward"]


def test_a_module_without_forward_says_so() -> None:
    class Empty(Module):
        pass

    with pytest.raises(NotImplementedError, match="Empty has no forward"):
        Empty()(1)


def test_buffers_are_tensors_under_free_names() -> None:
    module = Module()
    for name in ("forward", "a.b", "", "training"):
        with pytest.raises(KeyError, match="choose another"):
            module.register_buffer(name, zeros(1))
    for wrong in (np.zeros(1), Parameter(zeros(1))):
        with pytest.raises(TypeError, match=r"must be a (plain )?Tensor"):
            module.register_buffer("buffer", wrong)  # type: ignore[arg-type]
    module.register_buffer("later", None)
    assert module.buffers() == []
    module.register_buffer("later", zeros(2))
    assert module.state_dict().keys() == {"later"}


def test_buffers_of_one_instance_are_not_those_of_the_class() -> None:
    Block()
    assert Module._buffers == {}
    assert list(Module().buffers()) == []


def test_the_tree_shows_every_part_and_draws_equal_neighbors_once() -> None:
    assert repr(Linear(2, 3)) == "Linear(2, 3)  9 parameters"
    assert repr(nn.ReLU()) == "ReLU()"
    model = Sequential(nn.Embedding(5, 3), ModuleList(Block() for _ in range(3)), Linear(3, 1, bias=False))
    assert repr(model).splitlines() == [
        "Sequential                      81 parameters",
        "├─ 0: Embedding(5, 3)           15",
        "├─ 1: ModuleList                63",
        "│  └─ 0-2: 3 x Block            21",
        "│     ├─ first: Linear(3, 3)    12",
        "│     └─ norm: LayerNorm(3)     6",
        "└─ 2: Linear(3, 1, bias=False)  3",
    ]


def test_a_list_is_a_list() -> None:
    layers = ModuleList([Linear(1, 1)])
    a, b = nn.ReLU(), nn.Tanh()
    layers.append(a).extend([b])
    layers.insert(0, nn.Identity())
    assert [type(module).__name__ for module in layers] == ["Identity", "Linear", "ReLU", "Tanh"]
    assert [name for name, _ in layers.named_children()] == ["0", "1", "2", "3"]
    assert layers[-1] is b
    assert layers[2] is a
    assert [*layers[1:3]][1] is a
    layers[0] = b
    assert layers[0] is b
    with pytest.raises(IndexError, match="index 4; it holds 4 Modules"):
        layers[4]
    with pytest.raises(TypeError, match="must be a Module"):
        layers.append(abs)  # type: ignore[arg-type]
    with pytest.raises(NotImplementedError):
        layers(1)


def test_a_sequence_calls_one_after_another_and_may_be_named() -> None:
    model = Sequential({"double": nn.Identity(), "flat": nn.Flatten()})
    assert model.double is model[0]  # type: ignore[attr-defined]
    assert model(zeros(2, 3, 4)).shape == (2, 12)
    assert [name for name, _ in model[1:].named_children()] == ["flat"]
    assert Sequential()(1) == 1
    with pytest.raises(TypeError, match="free name"):
        Sequential({"forward": nn.Identity()})


def test_what_is_no_parameter_cannot_take_the_place_of_one() -> None:
    layer = Linear(2, 2)
    for value in (np.zeros((2, 2)), 0.0, nn.Identity()):
        with pytest.raises(TypeError, match="weight is a parameter and a"):
            layer.weight = value  # type: ignore[assignment]
    assert isinstance(layer.weight, Parameter)


def test_a_buffer_stays_a_tensor_becomes_a_parameter_or_goes() -> None:
    block = Block()
    for value in (3, np.zeros(2)):
        with pytest.raises(TypeError, match="seen is a buffer"):
            block.seen = value
    block.seen = ones(2)
    assert block.state_dict()["seen"].tolist() == [1, 1]
    block.seen = Parameter(zeros(2))
    assert [name for name, _ in block.named_buffers()] == ["scratch"]
    assert "seen" in dict(block.named_parameters())
    del block.scratch
    assert block.buffers() == []
    assert "scratch" not in block.state_dict()
    other = Block()
    del other.seen
    assert "seen" not in other.state_dict()


def test_parts_are_registered_and_reached_by_computed_names() -> None:
    module = Module()
    module.add_module("layer0", layer := Linear(2, 2))
    module.register_parameter("scale", scale := Parameter(ones(2)))
    module.register_parameter("bias", None)
    module.register_buffer("seen", seen := zeros(2))
    assert module.get_submodule("layer0") is layer
    assert module.get_parameter("scale") is scale
    assert module.get_parameter("layer0.bias") is layer.bias
    assert module.get_buffer("seen") is seen
    assert [name for name, _ in module.named_parameters(recurse=False)] == ["scale"]
    assert module.buffers(recurse=False) == [seen]
    module.add_module("layer0", nn.Identity())
    assert module.num_parameters() == 2
    for name in ("forward", "a.b", ""):
        with pytest.raises(KeyError, match=r"add_module: .* choose another"):
            module.add_module(name, layer)
        with pytest.raises(KeyError, match=r"register_parameter: .* choose another"):
            module.register_parameter(name, scale)
    for register, wrong in ((module.add_module, scale), (module.register_parameter, layer), (module.add_module, abs)):
        with pytest.raises(TypeError, match="it must be a"):
            register("other", wrong)  # type: ignore[operator]
    with pytest.raises(TypeError, match="the name 3 is a int"):
        module.register_buffer(3, zeros(1))  # type: ignore[arg-type]
    with pytest.raises(AttributeError, match="layer0 has no 'weight'; it has none"):
        module.get_parameter("layer0.weight")


def test_modes_dtypes_and_learning_are_said_clearly() -> None:
    layer = Linear(2, 2)
    for mode in (0, "eval", None):
        with pytest.raises(TypeError, match="must be True or False"):
            layer.train(mode)  # type: ignore[arg-type]
    assert layer.train(np.bool_(False)).training is False
    with pytest.raises(TypeError, match="dtype None"):
        layer.astype(None)
    model = Sequential(layer.requires_grad_(False))
    model.count = Parameter([1], requires_grad=False)  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match="count is int64; only floating-point"):
        model.requires_grad_()
    assert not layer.weight.requires_grad


def test_a_copied_parameter_is_one() -> None:
    weight = Parameter([1.0], requires_grad=False)
    twin = copy.copy(weight)
    assert isinstance(twin, Parameter)
    assert not twin.requires_grad
    assert not np.shares_memory(twin.data, weight.data)


def test_a_part_that_holds_its_whole_is_drawn_and_has_no_state() -> None:
    whole, part = Module(), Linear(1, 1)
    whole.part, part.whole = part, whole  # type: ignore[attr-defined]
    assert repr(whole).splitlines()[2].split() == ["└─", "whole:", "Module", "2"]
    assert whole.num_parameters() == 2
    with pytest.raises(ValueError, match=r"part.whole is a module that it is itself a part of"):
        whole.state_dict()


def test_hooks_that_cannot_be_are_refused() -> None:
    module = nn.Identity()
    with pytest.raises(TypeError, match="must be callable"):
        module.register_forward_hook(3)  # type: ignore[arg-type]
    module.register_forward_pre_hook(lambda module, args, kwargs: args)  # type: ignore[arg-type, return-value]
    with pytest.raises(TypeError, match="Identity: a pre-hook returned a tuple"):
        module(ones(2))


def test_importing_enables_autograd() -> None:
    from tinytorch.autograd import is_grad_enabled

    assert is_grad_enabled()


def test_bytes_of_shared_parts_count_once() -> None:
    part = Linear(3, 2, dtype="float64")
    model = Sequential(part, part)
    model.register_buffer("codes", Tensor(np.zeros(5, np.int8), "int8"), persistent=False)
    assert part.nbytes == 8 * (3 * 2 + 2)
    assert model.nbytes == part.nbytes + 5


def test_unembedding_adds_a_bias_and_is_differentiated() -> None:
    table = Embedding(5, 4, dtype="float64")
    bias = Parameter(np.arange(5.0), "float64")
    x = Tensor(np.ones((2, 4)), "float64", requires_grad=True)
    out = table.unembed(x, bias)
    assert np.allclose(out.data, x.data @ table.weight.data.T + bias.data)
    out.sum().backward()
    assert np.allclose(table.weight.grad.data, 2.0) and np.allclose(bias.grad.data, 2.0)
    assert np.allclose(x.grad.data, table.weight.data.sum(0))
