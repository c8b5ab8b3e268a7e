"""A student and its teacher: the loss against its formula, and the recipe."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from tinytorch.autograd import gradcheck
from tinytorch.compression import DistillationLoss, distil
from tinytorch.layers import Linear, Module
from tinytorch.optim import AdamW, CosineSchedule
from tinytorch.tensor import ShapeError, Tensor

from .models import floats, make_gpt, make_llama, make_mlp, numbers, rng


def softmax(x: Any) -> Any:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


# The loss


@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=2), st.integers(1, 6), st.floats(0.5, 8), st.floats(0, 1),
    st.integers(0, 99),
)  # fmt: skip
def test_loss_is_that_of_the_paper(shape: list[int], classes: int, T: float, alpha: float, seed: int) -> None:
    logits, theirs = (floats(*shape, classes, seed=seed + i, dtype=np.float64) for i in range(2))
    targets = rng(seed).integers(0, classes, shape)
    p, q = softmax(theirs.data / T), softmax(logits.data / T)
    kl = (p * np.log(p / q)).sum(axis=-1).mean()
    hard = -np.log(np.take_along_axis(softmax(logits.data), targets[..., None], -1)).mean()
    loss = DistillationLoss(T, alpha)(logits, theirs, Tensor(targets))
    assert_allclose(loss.item(), alpha * T * T * kl + (1 - alpha) * hard, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("sizes", [(4, 4), (4, 6)])
def test_a_hidden_state_without_axes_is_refused(sizes: tuple[int, int]) -> None:
    loss = DistillationLoss(hidden=[sizes])
    with pytest.raises(ShapeError, match="hidden states"):
        loss(floats(2, 3), floats(2, 3), Tensor([0, 1]), [Tensor(1.0)], [Tensor(1.0)])


@pytest.mark.parametrize("theirs", [[0.0, 1.0, 2.0], [0.0, 1.0, -np.inf]])
def test_classes_that_the_teacher_excludes_count_for_nothing(theirs: list[float]) -> None:
    logits = Tensor([theirs], np.float64, requires_grad=True)
    loss = DistillationLoss(1.0, alpha=1.0)(logits, Tensor([[0.0, 1.0, -np.inf]], np.float64))
    p = softmax(np.array([0.0, 1.0]))
    q = softmax(np.array([theirs]))[0]
    assert_allclose(loss.item(), (p * np.log(p / q[:2])).sum(), atol=1e-12)
    loss.backward()
    assert logits.grad is not None
    assert_allclose(logits.grad.data, [q - [*p, 0.0]], atol=1e-12)


def test_gradients_are_those_of_finite_differences_for_logits_hidden_states_and_projections() -> None:
    loss = DistillationLoss(3.0, 0.7, hidden=[(3, 5), (4, 4)], hidden_weight=0.5, dtype=np.float64)
    theirs = floats(2, 4, 6, seed=1, dtype=np.float64)
    wanted = [floats(2, 4, 5, seed=2, dtype=np.float64), floats(2, 4, 4, seed=3, dtype=np.float64)]
    targets = np.array([[0, 1, -100, 3], [-100, 5, 0, 2]])
    inputs = [floats(2, 4, size, seed=size, dtype=np.float64) for size in (6, 3, 4)]
    for each in inputs:
        each.requires_grad = True

    def through(logits: Any, first: Any, second: Any, projection: Any) -> Any:
        vars(loss.projections[0]).update(weight=projection)
        return loss(logits, theirs, Tensor(targets), [first, second], wanted)

    assert gradcheck(through, [*inputs, loss.projections[0].weight])


def test_nothing_is_lost_where_the_student_gives_what_the_teacher_gives() -> None:
    logits = floats(5, 7)
    logits.requires_grad = True
    loss = DistillationLoss(4.0, alpha=1.0)(logits, logits)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert logits.grad is not None
    assert_allclose(logits.grad.data, 0, atol=1e-6)


def test_positions_without_a_target_count_in_no_part() -> None:
    loss = DistillationLoss(hidden=[(3, 3)])
    logits, theirs, state, wanted = floats(2, 4, 5), floats(2, 4, 5, seed=1), floats(2, 4, 3), floats(2, 4, 3, seed=1)
    targets = np.array([[1, 2, -100, -100], [3, -100, 0, -100]])
    short = [Tensor(each.data[targets >= 0]) for each in (logits, theirs, state, wanted)]
    whole = loss(logits, theirs, Tensor(targets), [state], [wanted])
    part = loss(short[0], short[1], Tensor(targets[targets >= 0]), [short[2]], [short[3]])
    assert_allclose(whole.item(), part.item(), rtol=1e-5)


def test_a_high_temperature_compares_logits() -> None:
    """Hinton et al. 2015, section 2.1: the gradient tends to (z - v) / N for logits of mean zero."""
    z, v = (floats(1, 6, seed=seed, dtype=np.float64) for seed in range(2))
    z.data -= z.data.mean()
    v.data -= v.data.mean()
    z.requires_grad = True
    DistillationLoss(1e4, alpha=1.0)(z, v).backward()
    assert z.grad is not None
    assert_allclose(z.grad.data, (z.data - v.data) / 6, rtol=1e-3)


# The recipe


def batches(count: int = 4) -> list[Any]:
    draw = rng(9)
    return [(Tensor(draw.integers(0, 23, (4, 8))), Tensor(draw.integers(0, 23, (4, 8)))) for _ in range(count)]


def agreement(student: Module, teacher: Module) -> float:
    ids = batches()[0][0]
    return float(np.mean(student(ids).data.argmax(axis=-1) == teacher(ids).data.argmax(axis=-1)))


def test_a_small_gpt_learns_what_a_larger_one_says() -> None:
    teacher, student = make_llama(), make_gpt(embed_dim=12, num_layers=1, tied=False)
    for parameter in teacher.parameters():
        parameter.data *= 3  # so that it has opinions
    before, known = numbers(teacher), agreement(student, teacher)
    loss = DistillationLoss(2.0, alpha=1.0, hidden=[(12, 16)], hidden_weight=0.01, generator=rng())
    first = loss.projections[0].weight.data.copy()
    history = distil(
        student, teacher, batches(), loss=loss, hidden={"norm": "norm"}, steps=150, progress=False,
        optimizer=lambda model: AdamW(model, lr=2e-2), schedule=lambda optimizer: CosineSchedule(optimizer, 150),
        clip_norm=1.0,
    )  # fmt: skip
    assert numbers(teacher) == before
    assert np.mean(history["loss"][-10:]) < np.mean(history["loss"][:10]) / 2
    assert agreement(student, teacher) > max(0.7, known)
    assert not np.array_equal(loss.projections[0].weight.data, first)
    assert student._hooks is None and student.norm is not None and student.norm._hooks is None


def recipe(folder: Path, ends: list[int]) -> Module:
    for last in ends:
        student, loss = make_mlp(), DistillationLoss(hidden=[(16, 4)], generator=rng(2))
        data = [(floats(6, 8, seed=i), Tensor(rng(i).integers(0, 4, 6))) for i in range(3)]
        teacher = Linear(8, 4, generator=rng(3))
        distil(
            student, teacher, data, loss=loss, hidden={"0": ""}, steps=last, resume=True, progress=False,
            checkpoint=folder / "run",
        )  # fmt: skip
    return student


def test_a_run_that_is_killed_and_resumed_ends_where_the_unbroken_one_ends(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert numbers(recipe(tmp_path / "a", [9])) == numbers(recipe(tmp_path / "b", [2, 5, 9]))


def test_validation_and_modes() -> None:
    teacher, student = make_gpt(dropout=0.5).train(), make_gpt()
    history = distil(student, teacher, batches(), batches(1), epochs=1, progress=False)
    assert all(module.training for module in teacher.modules())
    assert np.isfinite(history.last("valid_loss"))


# Bad input


def test_what_does_not_fit_is_refused() -> None:
    logits, targets = floats(2, 5), Tensor([0, 1])
    loss = DistillationLoss()
    projected = DistillationLoss(hidden=[(3, 4)])
    wrong: list[tuple[Callable[[], Any], type[Exception], str]] = [
        (lambda: DistillationLoss(0), ValueError, "temperature is 0"),
        (lambda: DistillationLoss(float("inf")), ValueError, "temperature is inf"),
        (lambda: DistillationLoss(alpha=1.5), ValueError, "alpha|probability"),
        (lambda: DistillationLoss(hidden_weight=-1), ValueError, "hidden_weight is -1"),
        (lambda: DistillationLoss(hidden=[(0, 3)]), ValueError, "in_features is 0"),
        (lambda: loss(logits, floats(2, 6), targets), ShapeError, r"student \(2, 5\), of the teacher \(2, 6\)"),
        (lambda: loss(logits, logits), ValueError, "there are no targets"),
        (lambda: loss(logits, logits, Tensor([0, 1, 2])), ShapeError, r"targets \(3,\) for logits"),
        (lambda: loss(logits, logits, targets, [logits], [logits]), ShapeError, "made for 0"),
        (lambda: projected(logits, logits, targets), ShapeError, "made for 1"),
        (lambda: projected(logits, logits, targets, [floats(2, 4)], [floats(2, 4)]), ShapeError, r"\(2, 4\) of the"),
        (lambda: projected(logits, logits, targets, [floats(2, 3)], [floats(2, 3)]), ShapeError, r"\(2, 3\) of the"),
        (lambda: projected(logits, logits, targets, [floats(3, 3)], [floats(2, 4)]), ShapeError, r"\(3, 3\) of the"),
    ]
    for call, kind, message in wrong:
        with pytest.raises(kind, match=message) as caught:
            call()
        assert str(caught.value).count("\n") <= 1


def test_recipes_that_mean_nothing_are_refused() -> None:
    student, teacher = make_gpt(), make_gpt()
    cached = make_gpt()
    cached._cache_enabled = True
    before = numbers(student)
    wrong: list[tuple[Callable[[], Any], type[Exception], str]] = [
        (lambda: distil(student, student, batches(), steps=1), ValueError, "one model"),
        (lambda: distil(student, cached, batches(), steps=1), ValueError, "disable_kv_cache"),
        (lambda: distil(student, teacher, batches()), ValueError, "either epochs or steps"),
        (lambda: distil(student, teacher, [batches()[0][0]], steps=1), TypeError, "give pairs"),
        (lambda: distil(student, teacher, batches(), steps=1, hidden={"nose": "norm"}), AttributeError, "nose"),
        (lambda: distil(student, teacher, batches(), steps=1, hidden={"norm": "norm"}), ShapeError, "made for 0"),
        (lambda: distil(student, make_gpt(vocab_size=29), batches(), steps=1), ShapeError, "same classes"),
        (
            lambda: distil(student, teacher, batches(), steps=1, hidden={"blocks": "blocks"}),
            ValueError, "blocks was not called",
        ),
    ]  # fmt: skip
    for call, kind, message in wrong:
        with pytest.raises(kind, match=message):
            call()
    assert {**numbers(student), "modes": 0, "attributes": 0} == {**before, "modes": 0, "attributes": 0}
