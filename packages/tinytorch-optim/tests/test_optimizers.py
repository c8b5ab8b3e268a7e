"""What holds for every optimizer."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinytorch.layers import Linear, Module, Parameter
from tinytorch.optim import SGD, Adam, AdamW, Lion, Muon, Optimizer, RMSprop, buckets, orthogonalize
from tinytorch.tensor import Array, ShapeError, Tensor
from tinytorch.tensor.tensor import rebind

Make = Callable[..., Optimizer]

EVERY: dict[str, Make] = {
    "SGD": lambda params, **options: SGD(params, lr=0.05, momentum=0.9, weight_decay=0.1, **options),
    "Adam": lambda params, **options: Adam(params, lr=0.05, weight_decay=0.1, amsgrad=True, **options),
    "AdamW": lambda params, **options: AdamW(params, lr=0.05, **options),
    "RMSprop": lambda params, **options: RMSprop(params, lr=0.05, momentum=0.9, centered=True, **options),
    "Lion": lambda params, **options: Lion(params, lr=0.05, weight_decay=0.1, **options),
}
every = pytest.mark.parametrize("make", EVERY.values(), ids=EVERY)


def params_of(shapes: list[tuple[int, ...]], seed: int = 0, dtype: Any = np.float64) -> list[Parameter]:
    rng = np.random.default_rng(seed)
    return [Parameter(rng.normal(size=shape), dtype=dtype) for shape in shapes]


def give_gradients(params: list[Parameter], step: int) -> None:
    rng = np.random.default_rng(step)
    for p in params:
        p.grad = Tensor(rng.normal(size=p.shape), dtype=p.dtype)


def run(make: Make, params: list[Parameter], steps: range, optimizer: Optimizer | None = None) -> Optimizer:
    optimizer = optimizer or make(params)
    for step in steps:
        give_gradients(params, step)
        optimizer.step()
    return optimizer


def values(params: list[Parameter]) -> list[bytes]:
    return [p.data.tobytes() for p in params]


@every
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_buckets_change_no_bit(make: Make, dtype: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = [(7, 5), (3,), (), (40,), (0, 2), (2, 2)]
    together, apart = params_of(shapes, dtype=dtype), params_of(shapes, dtype=dtype)
    run(make, together, range(5))
    monkeypatch.setattr(buckets, "SIZE", 6)  # some parameters share a bucket, others are cut
    run(make, apart, range(5))
    assert values(together) == values(apart)


@every
def test_a_parameter_of_any_layout_is_updated_in_place(make: Make) -> None:
    base = np.random.default_rng(0).normal(size=(8, 6))
    plain, turned = Parameter(base.T.copy(), dtype=np.float64), Parameter(base.T, dtype=np.float64)
    for p in (plain, turned):
        optimizer = make([p])
        p.grad = Tensor(np.arange(48.0).reshape(8, 6).T, dtype=np.float64)
        optimizer.step()
    np.testing.assert_array_equal(turned.data, plain.data)
    assert np.shares_memory(turned.data, base)


@every
def test_a_parameter_without_gradient_is_left_alone_and_joins_later(make: Make) -> None:
    first, second = params_of([(3,), (3,)])
    alone = params_of([(3,), (3,)])[1]
    before = second.data.copy()
    optimizer = make([first, second])
    for step in range(3):
        give_gradients([first], step)
        optimizer.step()
    np.testing.assert_array_equal(second.data, before)
    reference = make([alone])
    for step in range(3):
        give_gradients([second], step)
        give_gradients([alone], step)
        give_gradients([first], step + 9)
        optimizer.step()
        reference.step()
    np.testing.assert_array_equal(second.data, alone.data)


@every
def test_state_survives_json_and_continues_bit_for_bit(make: Make) -> None:
    shapes = [(4, 3), (3,), ()]
    whole = params_of(shapes, dtype=np.float32)
    run(make, whole, range(10))
    half = params_of(shapes, dtype=np.float32)
    saved = run(make, half, range(5)).state_dict()
    meta = json.loads(json.dumps(saved["meta"]))
    rest = [Parameter(p.data.copy()) for p in half]
    optimizer = make(rest)
    optimizer.load_state_dict({"arrays": saved["arrays"], "meta": meta})
    run(make, rest, range(5, 10), optimizer)
    assert values(rest) == values(whole)
    assert optimizer.state_dict()["meta"]["groups"][0]["steps"] == [10, 10, 10]


def test_state_is_a_copy() -> None:
    params = params_of([(3,)])
    optimizer = run(EVERY["Adam"], params, range(2))
    saved = optimizer.state_dict()
    before = saved["arrays"]["0.m"].copy()
    run(EVERY["Adam"], params, range(2, 4), optimizer)
    np.testing.assert_array_equal(saved["arrays"]["0.m"], before)


def spoiled(saved: dict[str, Any], how: str) -> Any:
    arrays, meta = dict(saved["arrays"]), json.loads(json.dumps(saved["meta"]))
    if how == "missing array":
        del arrays["0.v"]
    elif how == "array more":
        arrays["0.velocity"] = arrays["0.v"]
    elif how == "wrong shape":
        arrays["0.v"] = arrays["0.v"][:1]
    elif how == "wrong dtype":
        arrays["0.v"] = arrays["0.v"].astype(np.float32)
    elif how == "other optimizer":
        meta["kind"] = "SGD"
    elif how == "other names":
        meta["groups"][0]["params"][:2] = ["bias", "weight"]
    elif how == "half a group":
        del meta["groups"][0]["steps"]
    elif how == "other parameters":
        meta["groups"][0]["shapes"][0] = [2, 2]
    elif how == "group more":
        meta["groups"].append(meta["groups"][0])
    elif how == "option out of range":
        meta["groups"][0]["options"]["lr"] = -1.0
    else:
        return {"weights": [1, 2]}
    return {"arrays": arrays, "meta": meta}


@pytest.mark.parametrize(
    "how",
    [
        "missing array", "array more", "wrong shape", "wrong dtype", "other optimizer", "other names",
        "half a group", "other parameters",
        "group more", "option out of range", "something else",
    ],
)  # fmt: skip
def test_a_state_that_does_not_fit_changes_nothing(how: str) -> None:
    weight, bias = params_of([(3,), (3,)])
    make: Make = lambda params: AdamW({"weight": weight, "bias": bias}.items())  # type: ignore[arg-type]  # noqa: E731
    optimizer = run(make, [weight, bias], range(3))
    before = optimizer.state_dict()
    with pytest.raises(ValueError, match="AdamW"):
        optimizer.load_state_dict(spoiled(before, how))
    after = optimizer.state_dict()
    assert after["meta"] == before["meta"]
    for name, array in before["arrays"].items():
        np.testing.assert_array_equal(after["arrays"][name], array)


class Pair(Module):
    """Two parameters of one shape, made in either order."""

    def __init__(self, *names: str) -> None:
        super().__init__()
        for name in names:
            setattr(self, name, Parameter([1.0, 2.0]))


def test_a_state_goes_to_the_parameters_of_the_names_it_was_saved_with() -> None:
    saved = Adam(Pair("first", "second")).state_dict()
    with pytest.raises(ValueError, match=r"state of 'first' would go to 'second'; .* in the saved order"):
        Adam(Pair("second", "first")).load_state_dict(saved)
    Adam(Pair("second", "first").parameters()).load_state_dict(saved)  # without names the order is all there is


def test_momentum_is_switched_on_or_off_by_the_state_that_is_loaded() -> None:
    for there, here in ((0.0, 0.9), (0.9, 0.0)):
        whole, half = params_of([(3,)]), params_of([(3,)])
        run(lambda params, m=there: SGD(params, momentum=m), whole, range(4))
        saved = run(lambda params, m=there: SGD(params, momentum=m), half, range(2)).state_dict()
        resumed = run(lambda params, m=here: SGD(params, momentum=m), params_of([(3,)]), range(2))
        resumed.load_state_dict(saved)
        assert resumed.param_groups[0]["momentum"] == there
        for p, q in zip(resumed.param_groups[0]["params"], half, strict=True):
            p.data = q.data
        run(SGD, resumed.param_groups[0]["params"], range(2, 4), resumed)
        assert values(resumed.param_groups[0]["params"]) == values(whole)


def test_a_state_keeps_its_velocity_when_momentum_was_switched_off() -> None:
    optimizer = run(lambda params: SGD(params, momentum=0.5), params_of([(3,)]), range(2))
    optimizer.param_groups[0]["momentum"] = 0.0
    saved = optimizer.state_dict()
    fresh = SGD(params_of([(3,)]))
    fresh.load_state_dict(saved)
    np.testing.assert_array_equal(fresh.state_dict()["arrays"]["0.velocity"], saved["arrays"]["0.velocity"])


def test_a_state_without_what_its_options_need_is_refused() -> None:
    saved = SGD(params_of([(3,)])).state_dict()
    saved["meta"]["groups"][0]["options"]["momentum"] = 0.5
    with pytest.raises(ValueError, match="the state has no 'velocity'"):
        SGD(params_of([(3,)])).load_state_dict(saved)


def test_the_learning_rate_is_that_of_the_first_group_and_set_for_all() -> None:
    optimizer = SGD([{"params": params_of([(2,)]), "lr": 0.5}, {"params": params_of([(3,)])}], lr=0.25)
    assert optimizer.lr == 0.5
    optimizer.lr = 0.125
    assert [group["lr"] for group in optimizer.param_groups] == [0.125, 0.125]
    with pytest.raises(ValueError, match="lr=-1"):
        optimizer.lr = -1
    assert optimizer.lr == 0.125


@pytest.mark.parametrize(("name", "way"), [
    ("momentum", r"set group\['momentum'\]"),
    ("weight_decay", r"set group\['weight_decay'\]"),
    ("learning_rate", r"set optimizer\.lr"),
])  # fmt: skip
def test_an_option_set_where_it_has_no_effect_is_refused(name: str, way: str) -> None:
    optimizer = SGD(params_of([(2,)]))
    with pytest.raises(AttributeError, match=f"SGD: {name} would have no effect.*{way}"):
        setattr(optimizer, name, 0.5)


@every
def test_groups_have_their_own_options(make: Make) -> None:
    still, moving = params_of([(3,), (3,)])
    before = still.data.copy()
    optimizer = make([{"params": [still], "lr": 0.0}, {"params": [moving]}])
    run(make, [still, moving], range(3), optimizer)
    np.testing.assert_array_equal(still.data, before)
    assert [group["lr"] for group in optimizer.param_groups] == [0.0, 0.05]
    assert not np.array_equal(moving.data, params_of([(3,), (3,)])[1].data)


@every
@settings(max_examples=15)
@given(data=st.data())
def test_a_gradient_that_is_not_finite_is_refused_by_name(make: Make, data: st.DataObject) -> None:
    bad = data.draw(st.sampled_from([np.nan, np.inf, -np.inf]))
    layer = Linear(3, 2)
    optimizer = make(layer, check_finite=True)
    params = list(layer.parameters())
    give_gradients(params, 0)
    assert layer.bias is not None
    assert layer.bias.grad is not None
    layer.bias.grad.data[data.draw(st.integers(0, 1))] = bad
    before = values(params)
    with pytest.raises(FloatingPointError, match=r"gradient of bias has 1 of 2 numbers"):
        optimizer.step()
    assert values(params) == before
    assert optimizer.state_dict()["meta"]["groups"][0]["steps"] == [0, 0]


def test_momentum_switched_on_later_starts_from_nothing() -> None:
    p = Parameter([0.0], dtype=np.float64)
    optimizer = SGD([p], lr=1.0)
    optimizer.param_groups[0]["momentum"] = 0.5
    for _ in range(2):
        p.grad = Tensor([1.0], dtype=np.float64)
        optimizer.step()
    np.testing.assert_allclose(p.data, [-2.5])


def test_closure_computes_the_loss_with_gradients() -> None:
    p = Parameter([3.0])
    optimizer = SGD([p], lr=0.5)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 9.0
    assert p.data.tolist() == [0.0]
    optimizer.zero_grad()
    assert p.grad is None


def test_a_step_is_a_write_that_backward_notices() -> None:
    p = Parameter([3.0])
    loss = (p * p).sum()
    p.grad = Tensor([1.0])
    SGD([p], lr=0.5).step()
    with pytest.raises(RuntimeError, match="changed in place"):
        loss.backward()


def test_a_parameter_is_still_updated_when_its_array_was_replaced() -> None:
    p = Parameter([1.0])
    optimizer = SGD([p], lr=1.0)
    for array in (np.array([1.0], np.float32), np.array([5.0], np.float32)):
        p.data = array
        p.grad = Tensor([1.0])
        optimizer.step()
    assert p.data.tolist() == [4.0]


def test_what_cannot_be_updated_is_refused_before_anything_is() -> None:
    good, bad = params_of([(2,), (2, 3)])
    optimizer = SGD([good, bad], lr=1.0)
    before = good.data.copy()
    good.grad = Tensor(np.ones(2), dtype=np.float64)
    bad.grad = Tensor(np.ones((2, 3)), dtype=np.float64)
    bad.data.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        optimizer.step()
    rebind(bad, bad.data.astype(np.float32))
    with pytest.raises(ValueError, match=r"was \(2, 3\) float64 and is \(2, 3\) float32"):
        optimizer.step()
    np.testing.assert_array_equal(good.data, before)


def test_a_parameter_of_a_changed_shape_is_refused_before_its_neighbor_is_touched() -> None:
    changed, neighbor = params_of([(4,), (3,)])
    optimizer = run(EVERY["Adam"], [changed, neighbor], range(2))
    before = neighbor.data.copy()
    for array in (np.ones(6), np.ones((2, 2))):
        changed.data = array
        give_gradients([changed, neighbor], 2)
        with pytest.raises(ShapeError, match=r"parameter 0 \(4,\) was \(4,\) float64 and is"):
            optimizer.step()
    np.testing.assert_array_equal(neighbor.data, before)
    assert optimizer.state_dict()["meta"]["groups"][0]["steps"] == [2, 2]


def test_a_gradient_may_be_set_to_an_array() -> None:
    (p,) = params_of([(2,)])
    before = p.data.copy()
    p.grad = np.ones(2)  # type: ignore[assignment]
    SGD([p], lr=0.5).step()
    np.testing.assert_array_equal(p.data, before - 0.5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: SGD([], lr=0.1), "no parameters"),
        (lambda p: SGD([p, p]), "given twice"),
        (lambda p: SGD([{"params": [p], "learning": 1}]), "no option 'learning'"),
        (lambda p: SGD([{"params": [p], "momentun": 1}]), "did you mean 'momentum'"),
        (lambda p: SGD([{"lr": 1}]), "needs 'params'"),
        (lambda p: SGD([p], lr=-1), "lr=-1"),
        (lambda p: SGD([p], nesterov=True), "nesterov needs"),
        (lambda p: SGD([p], lr=True), "lr=True"),
        (lambda p: SGD([p], lr="0.1"), "lr='0.1'"),
        (lambda p: SGD([p], lr=float("inf")), "lr=inf; it must be a finite number"),
        (lambda p: SGD([p], momentum=float("inf")), "momentum=inf"),
        (lambda p: SGD([p], momentum=0.9, dampening=float("nan")), "dampening=nan"),
        (lambda p: AdamW([p], weight_decay=float("inf")), "weight_decay=inf"),
        (lambda p: Signs([p], {"lr": 0.1, "weight_decay": -1.0}), "weight_decay=-1.0"),
        (lambda p: Adam([p], betas=(0.9, 1.0)), "below 1"),
        (lambda p: Adam([p], betas=(0.9,)), r"betas=\(0.9,\); give 2"),
        (lambda p: Lion([p], betas=0.9), "betas=0.9; give 2"),
        (lambda p: Adam([p], eps=float("nan")), "eps=nan"),
        (lambda p: Adam([p], eps=float("inf")), "eps=inf"),
        (lambda p: RMSprop([p], alpha=1.5), "alpha=1.5"),
        (lambda p: Muon([p]), r"shape \(2,\); it optimizes matrices"),
        (lambda p: SGD([p * 2]), "was computed"),
    ],
)
def test_a_wrong_argument_is_named(make: Callable[[Parameter], Optimizer], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(Parameter([1.0, 2.0]))


def test_only_floating_point_tensors_are_parameters() -> None:
    with pytest.raises(TypeError, match="dtype int64"):
        SGD([Tensor([1])])
    with pytest.raises(TypeError, match="a float"):
        SGD([1.0])  # type: ignore[list-item]


@settings(max_examples=25)
@given(rows=st.integers(1, 6), columns=st.integers(1, 6), seed=st.integers(0, 99))
def test_orthogonalize_keeps_singular_vectors(rows: int, columns: int, seed: int) -> None:
    matrix = np.random.default_rng(seed).normal(size=(rows, columns))
    u, s, vt = np.linalg.svd(matrix, full_matrices=False)
    found = u.T @ orthogonalize(matrix) @ vt.T
    np.testing.assert_allclose(found, np.diag(np.diag(found)), atol=1e-8)
    large = s > 0.01 * s.max()
    assert np.all((np.diag(found)[large] > 0.3) & (np.diag(found)[large] < 1.3))


def test_muon_trains_what_it_is_given_bit_for_bit_after_resuming() -> None:
    make: Make = lambda params: Muon(params, lr=0.05)  # noqa: E731
    whole, half = params_of([(4, 3), (2, 5)]), params_of([(4, 3), (2, 5)])
    run(make, whole, range(6))
    saved = run(make, half, range(3)).state_dict()
    optimizer = make(half)
    optimizer.load_state_dict(saved)
    run(make, half, range(3, 6), optimizer)
    assert values(half) == values(whole)


class Signs(Optimizer):
    """The smallest optimizer that can be written: p ← p - lr · sign(g)."""

    def states(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ()

    def update(
        self, change: Array, g: Array, state: dict[str, Array], scratch: Array, step: int, group: dict[str, Any]
    ) -> None:
        np.sign(g, out=change)
        change *= group["lr"]


def test_a_new_optimizer_needs_only_a_rate_and_a_rule() -> None:
    p = Parameter([1.0, -2.0])
    (p * p).sum().backward()
    for options, expected in (({"lr": 0.5}, [0.5, -1.5]), ({"lr": 0.5, "weight_decay": 10.0}, [0.0, -1.0])):
        Signs([p], options).step()
        assert p.tolist() == expected
