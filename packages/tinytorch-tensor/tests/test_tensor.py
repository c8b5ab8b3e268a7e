"""A tensor behaves like the array it holds."""

from __future__ import annotations

import copy
import inspect
import operator
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinytorch.tensor as tt
from tinytorch.tensor import DTypeError, ShapeError, Tensor


def test_memory_is_shared_where_the_dtype_allows_it() -> None:
    array = np.ones(3, np.float32)
    t = Tensor(array)
    assert np.shares_memory(t.data, array)
    assert np.shares_memory(np.asarray(t), array)
    assert np.shares_memory(t.numpy(), array)
    assert np.shares_memory(t.reshape(1, 3).data, array)
    assert np.shares_memory(t[1:].data, array)
    assert not np.shares_memory(t.copy().data, array)
    assert not np.shares_memory(np.array(t), array)


def test_dlpack_shares_memory_both_ways() -> None:
    t = Tensor([1.0, 2.0])
    there = np.from_dlpack(t)
    back = tt.from_dlpack(t.data)
    t.data[0] = 7.0
    assert there[0] == back.data[0] == 7.0
    assert tt.from_dlpack(np.ones(2)).dtype == np.float64
    with pytest.raises(BufferError, match=r"strides \(-4,\) run backwards; pass on a .copy\(\)"):
        np.from_dlpack(t[::-1])


@pytest.mark.parametrize(
    "operation",
    [operator.add, operator.sub, operator.mul, operator.truediv, operator.floordiv, operator.mod, operator.pow],
)
@pytest.mark.parametrize("scalar", [3, 2.5, np.float32(2.0), np.array([2.0, 4.0])])
def test_scalars_and_arrays_stand_on_both_sides(operation: Any, scalar: Any) -> None:
    t = Tensor([1.0, 2.0])
    array = t.data
    plain = scalar.astype(np.float32) if isinstance(scalar, np.ndarray) else scalar
    for result, expected in (
        (operation(t, scalar), operation(array, plain)),
        (operation(scalar, t), operation(plain, array)),
    ):
        assert isinstance(result, Tensor)
        assert result.dtype == np.float32
        np.testing.assert_array_equal(result.data, expected)


def test_comparisons_and_logic() -> None:
    t = Tensor([1, 2, 3])
    assert (t > 1).tolist() == [False, True, True]
    assert (2 < t).tolist() == [False, False, True]  # noqa: SIM300
    assert ((t > 1) & (t < 3)).tolist() == [False, True, False]
    assert ((t < 2) | (t > 2)).tolist() == [True, False, True]
    assert ((t > 1) ^ (t > 2)).tolist() == [False, True, False]
    assert (~(t > 1)).tolist() == [True, False, False]
    assert 2 in t
    assert 5 not in t


def test_numpys_functions_give_tensors() -> None:
    t = Tensor([[1.0, 2.0], [3.0, 4.0]])
    results = [
        np.exp(t), np.add(t, 1), np.multiply(np.ones(2), t), np.sum(t, axis=0), np.mean(t), np.concatenate([t, t]),
        np.stack([t, t]), np.where(t > 2, t, 0.0), np.reshape(t, (4,)), np.transpose(t), np.swapaxes(t, 0, 1),
        np.moveaxis(t, 0, 1), np.expand_dims(t, 0), np.broadcast_to(t, (3, 2, 2)),
        np.einsum("ij->j", t),
        np.matmul(t, t), np.dot(t, t), np.max(t, axis=1), np.clip(t, 1, 2), np.cumsum(t, axis=0),
        np.var(t, ddof=1), np.add.reduce(t),
        np.zeros_like(t), np.tril(t), np.pad(t, 1), np.split(t, 2)[0], np.square(t),
        np.sort(t), np.flip(t), np.ravel(t), np.dot(t, 2.0), np.clip(t, 2, None), np.cumsum(t),
    ]  # fmt: skip
    for result in results:
        assert isinstance(result, Tensor)
        assert result.dtype == np.float32
    np.testing.assert_array_equal(np.square(t).data, t.data**2)
    np.testing.assert_array_equal(np.moveaxis(t, 0, 1).data, t.data.T)
    np.testing.assert_array_equal(np.cumsum(t).data, [1.0, 3.0, 6.0, 10.0])
    assert np.logical_and(t > 1, t < 4).tolist() == [[False, True], [True, False]]
    assert np.logical_not(t).tolist() == np.isinf(t).tolist() == [[False, False], [False, False]]
    assert np.shape(t) == (2, 2)
    assert np.allclose(t, t.data)


ROWS = np.arange(12.0).reshape(3, 4)
NUMPYS: list[Callable[[Any], Any]] = [
    lambda x: np.take(x, [0, -1]),
    lambda x: np.take(x, [0, 2], axis=1),
    lambda x: np.take(x, (1, 1), axis=0),
    lambda x: np.repeat(x, 2),
    lambda x: np.repeat(x, [1, 0, 2], axis=0),
    lambda x: np.diff(x, axis=0),
    lambda x: np.diff(x, n=2),
    lambda x: np.outer(x[0], x[1]),
    lambda x: np.vstack([x, x[0]]),
    lambda x: np.hstack([x, x]),
    lambda x: np.hstack([x[0], x[1]]),
    lambda x: np.hstack([x[0, 0], x[1]]),
    lambda x: np.concatenate([x, x[:1]], axis=None),
    lambda x: np.broadcast_arrays(x, x[0])[1],
    lambda x: np.expand_dims(x, (0, -1)),
    lambda x: np.moveaxis(x[None], (0, 1), (2, 0)),
    lambda x: np.moveaxis(x[None], -1, 0),
    lambda x: np.sort(x, axis=None),
    lambda x: np.argsort(x, kind="stable"),
    lambda x: np.amax(x, axis=0),
    lambda x: np.amin(x),
    lambda x: np.einsum("ij->j", x, optimize=True),
    lambda x: np.isclose(x, x + 1e-9),
    lambda x: np.where(x > 3)[1],
    lambda x: np.nonzero(x)[0],
    lambda x: np.count_nonzero(x, axis=0),
    lambda x: np.astype(x, "int64"),
    lambda x: np.full_like(x, fill_value=3),
    lambda x: np.ones_like(x, dtype=np.int64),
    lambda x: np.split(x, [1, 9], axis=1)[1],
    lambda x: np.split(x, [2, 1])[1],
    lambda x: np.split(x, np.int64(2), axis=1)[1],
    lambda x: np.split(x[:0], 2)[1],
]


@pytest.mark.parametrize("function", NUMPYS)
def test_numpys_functions_give_numpys_values(function: Callable[[Any], Any]) -> None:
    result, expected = function(Tensor(ROWS, "float64")), np.asarray(function(ROWS))
    assert isinstance(result, Tensor)
    np.testing.assert_array_equal(result.data, expected)
    assert result.shape == expected.shape


def test_functions_without_a_counterpart_are_refused_by_name_where_a_gradient_would_be_lost() -> None:
    t = Tensor([1.0, 2.0], requires_grad=True)
    for wrong, name in (
        (lambda: np.linalg.svd(t), "linalg.svd"),
        (lambda: np.arcsinh(t), "arcsinh"),
        (lambda: np.add.accumulate(t), "add.accumulate"),
    ):
        with pytest.raises(TypeError, match=name):
            wrong()
    with pytest.raises(TypeError, match="out="):
        np.add(t, t, out=t.data)


def test_conversions() -> None:
    t = Tensor([[1.5]])
    assert t.item() == float(t) == 1.5
    assert int(t) == 1
    assert bool(t)
    assert t.tolist() == [[1.5]]
    assert [10, 20][Tensor(1)] == 20
    assert f"{Tensor(1.2345):.2f}" == "1.23"
    assert f"{Tensor(1.5)} {Tensor([1.0])}" == "Tensor(1.5) Tensor([1.])"
    assert list(range(5))[Tensor(1) : Tensor(3)] == [1, 2]
    assert [row.tolist() for row in Tensor([[1, 2], [3, 4]])] == [[1, 2], [3, 4]]
    assert len(Tensor([1, 2])) == 2
    assert Tensor([Tensor(1.0), Tensor(2.0)]).tolist() == [1.0, 2.0]
    twin = copy.deepcopy(Tensor([1.0], requires_grad=True))
    assert twin.requires_grad


def test_printing_shows_what_is_not_obvious() -> None:
    assert repr(Tensor([1.0, 2.5])) == "Tensor([1. , 2.5])"
    assert repr(Tensor(3)) == "Tensor(3)"
    assert repr(Tensor([1.0], dtype="float64")) == "Tensor([1.], dtype=float64)"
    assert repr(Tensor([], requires_grad=True)) == "Tensor([], shape=(0,), requires_grad=True)"
    assert repr(tt.zeros(300)).endswith("shape=(300,))")
    assert repr(Tensor([[1, 2], [3, 4]])) == "Tensor([[1, 2],\n        [3, 4]])"


def test_writing_in_place_moves_the_clock_for_every_view() -> None:
    t = tt.zeros(4)
    view, other = t[1:], tt.zeros(4)
    moment = tt.clock()
    view[0] = 1.0
    assert t.tolist() == [0.0, 1.0, 0.0, 0.0]
    assert tt.written_since(t.data, moment)
    assert tt.written_since(view.data, moment)
    assert not tt.written_since(other.data, moment)
    assert not tt.written_since(t.data, tt.clock())


def test_extensions_add_names_and_take_them_away_again() -> None:
    tt.announce("a test", ["half", "doubled", "exp"])
    before = dict(vars(Tensor))
    with pytest.raises(
        AttributeError, match="'Tensor' object has no attribute 'half': it comes with a test, which is off"
    ):
        Tensor([2.0]).half()
    assert not hasattr(Tensor, "half") and not hasattr(Tensor([2.0]), "half")
    tt.extend("a test", {"half": lambda self: self / 2, "doubled": property(lambda self: self * 2)})
    assert Tensor([2.0]).half().tolist() == [1.0]
    assert Tensor([2.0]).doubled.tolist() == [4.0]
    with pytest.raises(ValueError, match="half already"):
        tt.extend("another", {"half": None})
    with pytest.raises(ValueError, match="not added"):
        tt.retract({"exp"})
    tt.retract({"half", "doubled"})
    assert dict(vars(Tensor)) == before
    with pytest.raises(AttributeError, match="comes with a test, which is off"):
        Tensor([2.0]).half()
    assert Tensor([0.0]).exp().tolist() == [1.0]


def test_creation() -> None:
    assert tt.zeros(2, 3).shape == tt.ones((2, 3)).shape == tt.full((2, 3), 7).shape == (2, 3)
    assert tt.full(2, 7).dtype == np.int64
    assert tt.full(2, 7.0).dtype == tt.eye(2).dtype == tt.linspace(0, 1, 3).dtype == tt.empty(2).dtype == np.float32
    assert tt.arange(1, 7, 2).tolist() == [1, 3, 5]
    assert tt.linspace(0, 1, 3).tolist() == [0.0, 0.5, 1.0]
    like = tt.zeros_like(Tensor([1, 2]))
    assert like.dtype == np.int64
    assert tt.ones_like(Tensor([1.0])).tolist() == [1.0]
    assert tt.full_like(Tensor([1.0]), 3).tolist() == [3.0]
    assert tt.zeros_like([1.0, 2.0]).dtype == np.float32
    assert tt.empty_like(Tensor([[1]])).shape == np.empty_like(Tensor([[1]])).shape == (1, 1)
    assert tt.zeros(np.array([2, 3])).shape == tt.zeros(Tensor([2, 3])).shape == (2, 3)
    assert tt.zeros(2, requires_grad=True).requires_grad
    assert tt.arange(3.0, requires_grad=True).requires_grad
    assert tt.linspace(0, 1, 3, requires_grad=True).requires_grad
    assert tt.randint(0, 3, (2,), dtype="int32").dtype == np.int32


def test_randomness_is_seeded_by_one_seed_or_by_a_generator() -> None:
    tt.manual_seed(1)
    first = [tt.rand(3), tt.randn(3), tt.randint(0, 10, (3,)), tt.randperm(5)]
    tt.manual_seed(1)
    second = [tt.rand(3), tt.randn(3), tt.randint(0, 10, (3,)), tt.randperm(5)]
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a.data, b.data)
    own = np.random.default_rng(5)
    a = tt.randn(3, generator=own)
    assert tt.randn(3, generator=np.random.default_rng(5)).tolist() == a.tolist()
    assert sorted(first[3].tolist()) == [0, 1, 2, 3, 4]
    assert tt.rand(2, dtype="float16").dtype == np.float16
    like = Tensor([[1.0, 2.0]], "float64")
    assert tt.rand_like(like).shape == tt.randn_like(like, generator=own).shape == (1, 2)
    assert tt.rand_like(like).dtype == tt.randn_like(like).dtype == np.float64


def test_half_precision_draws_stay_below_one() -> None:
    assert tt.rand(100_000, dtype="float16", generator=np.random.default_rng(0)).max().item() < 1.0


def test_keeping_memory_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    assert tt.keep_freed_memory() in (True, False)
    monkeypatch.setenv("TINYTORCH_KEEP_MEMORY", "0")
    assert tt.keep_freed_memory() is False


def test_a_tensor_is_not_none_and_no_word() -> None:
    t = Tensor([1.0])
    assert (t == None, t != None, t == "a") == (False, True, False)  # noqa: E711
    assert None not in [t]


def test_divmod_is_quotient_and_remainder() -> None:
    quotient, rest = divmod(Tensor([7.0, -7.0]), 2)
    assert (quotient.tolist(), rest.tolist()) == ([3.0, -4.0], [1.0, 1.0])
    quotient, rest = divmod(7, Tensor([2, -3]))
    assert (quotient.tolist(), rest.tolist()) == ([3, -3], [1, -2])


def test_operations_without_parameters_take_none() -> None:
    with pytest.raises(TypeError, match=r"exp: unknown argument 'where'; the form is exp\(x\)"):
        tt.exp(Tensor([1.0]), where=False)
    with pytest.raises(TypeError, match="add: unknown argument 'out'"):
        tt.add(Tensor([1.0]), 1, out=np.zeros(1))


def test_a_gradient_is_checked_where_it_is_set() -> None:
    t = Tensor([1.0, 2.0], requires_grad=True)
    for gradient in (np.ones(2), [1, 1], Tensor([1.0, 1.0])):
        t.grad = gradient
        assert isinstance(t.grad, Tensor)
        assert (t.grad.dtype, t.grad.tolist()) == (np.float32, [1.0, 1.0])
    t.grad = None
    assert t.grad is None
    with pytest.raises(ShapeError, match=r"a gradient \(3,\) float32 for a tensor \(2,\) float32; they must agree"):
        t.grad = np.ones(3)
    with pytest.raises(DTypeError, match=r"a gradient \(2,\) float64 for a tensor \(2,\) float32"):
        t.grad = Tensor(np.ones(2), "float64")
    with pytest.raises(TypeError):
        t.grad = "one"
    assert t.grad is None


def test_reading_a_gradient_where_none_can_arrive_warns() -> None:
    t = Tensor([1.0])
    t.node = object()
    with pytest.warns(UserWarning, match=r"was computed, and gradients are kept in leaves only"):
        assert t.grad is None


def test_functions_without_a_counterpart_are_computed_on_the_arrays_of_tensors_without_gradients(
    tmp_path: Path,
) -> None:
    t = Tensor([2, 0, 2])
    assert np.unique(t).tolist() == [0, 2]
    assert [part.tolist() for part in np.unique(t, return_counts=True)] == [[0, 2], [1, 2]]
    assert np.bincount(t).tolist() == np.bincount(t, minlength=3).tolist() == [1, 0, 2]
    assert np.percentile(Tensor([1.0, 2.0, 3.0]), 50) == 2.0
    assert np.atleast_1d(Tensor(3.0)).shape == (1,)
    weights = Tensor([1.0, 2.0], requires_grad=True)
    np.save(tmp_path / "w.npy", weights)
    np.savez(tmp_path / "w.npz", w=weights)
    assert np.load(tmp_path / "w.npy").tolist() == np.load(tmp_path / "w.npz")["w"].tolist() == [1.0, 2.0]


def test_an_array_is_updated_in_place_by_a_tensor_without_gradients() -> None:
    x = Tensor([1.0, 2.0])
    array = x.data
    x.data -= 0.5 * Tensor([2.0, 2.0])
    array += Tensor([1.0, 1.0])
    assert x.data is array and x.tolist() == [1.0, 2.0]
    with pytest.raises(TypeError, match="out= with a tensor"):
        array += Tensor([1.0, 1.0], requires_grad=True)


@pytest.mark.parametrize(
    "lose",
    [
        lambda w: Tensor([w * 2, w]),
        lambda w: Tensor([[1.0, w], [w, 2.0]]),
        lambda w: w * [w, w],
        lambda w: tt.full((2,), w),
        lambda w: tt.where([True, False], [1.0, w], 0.0),
        lambda w: tt.maximum([w], 0.0),
    ],
)
def test_gradients_are_not_lost_in_lists_without_a_word(lose: Callable[[Tensor], Any]) -> None:
    with pytest.raises(TypeError, match=r"would lose them as an array; stack\(\) makes one tensor"):
        lose(Tensor(2.0, requires_grad=True))
    lose(Tensor(2.0))


def test_methods_show_the_defaults_of_their_operations() -> None:
    methods = {name: method for name, method in vars(Tensor).items() if inspect.isfunction(method)}
    compared = 0
    for name in methods.keys() & set(tt.__all__):
        if not getattr(getattr(tt, name), "params", True):
            continue  # a primitive without parameters; a ufunc of older NumPy has no signature either
        shown, applied = (inspect.signature(each).parameters for each in (methods[name], getattr(tt, name)))
        for argument in shown.keys() & applied.keys():
            if shown[argument].default is not inspect.Parameter.empty:
                assert shown[argument].default == applied[argument].default, (name, argument)
                compared += 1
    assert compared > 50


@pytest.mark.parametrize("function", [np.mean, np.sum, np.max, np.median, np.std])
def test_functions_of_numpy_do_not_lose_gradients_in_lists(function: Callable[[Any], Any]) -> None:
    losses = [Tensor(2.0), Tensor(1.0)]
    assert function(losses) == function([2.0, 1.0])
    losses[1].requires_grad = True
    with pytest.raises(TypeError, match=r"a list of tensors would lose gradients; use stack\(\), or x\.data"):
        function(losses)
    np.testing.assert_array_equal(losses[1], 1.0)
    assert np.asarray(losses).tolist() == np.array(losses).tolist() == [2.0, 1.0]


def test_a_primitive_says_which_of_its_arguments_are_tensors() -> None:
    with pytest.raises(TypeError, match="primitive: scale has no inputs; write `/` behind those that are tensors"):

        @tt.primitive
        def scale(x: Any, factor: Any) -> Any:
            return x * factor


def test_a_write_before_the_moment_does_not_count_as_after_it() -> None:
    first, second = np.zeros(2), np.zeros(2)
    tt.note_write(first)
    moment = tt.clock()
    tt.note_write(second)
    assert not tt.written_since(first, moment)
    assert tt.written_since(second, moment)
    assert tt.written_since(first, moment - 1)


@pytest.mark.parametrize("index", [[0, -3], [2, -1, 2, 0], [[0, -3], [1, 1]], []])
@pytest.mark.parametrize("before", [(), (slice(None),)])
def test_what_is_added_twice_at_an_index_is_summed(index: Any, before: tuple[Any, ...]) -> None:
    place = np.array(index, np.int64)
    x = np.random.default_rng(0).normal(size=(*(2 for _ in before), 3, 4))
    g = np.random.default_rng(1).normal(size=x[(*before, place)].shape)
    expected = np.zeros_like(x)
    np.add.at(expected, (*before, place), g)
    found = tt.index_grad(Tensor(g, dtype=np.float64), shape=x.shape, index=(*before, place))
    np.testing.assert_allclose(found.data, expected, atol=1e-15)
