"""What a student learns from a teacher: its probabilities, its hidden states, and the labels beside them."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Any

import numpy as np

from tinytorch.layers import Identity, Linear, Module, ModuleList
from tinytorch.layers import functional as F
from tinytorch.layers.checks import probability, real
from tinytorch.tensor import Array, ShapeError, Tensor, array_of, check_int, where


class DistillationLoss(Module):
    """alpha T² KL(teacher || student) + (1 - alpha) cross-entropy + hidden_weight · distances of hidden states.

    KL compares the softmax of both logits (..., C), each divided by the `temperature` T; T² keeps the size of its
    gradients. The cross-entropy is that of the student with integer targets (...); those equal to `ignore_index` count
    in no part. `hidden` has the pair of sizes (student, teacher) for each pair of hidden states (..., size); their
    squared distances are averaged. Where the sizes differ a linear projection of the student's is learned: give the
    optimizer `loss.parameters()` too. Teachers get no gradient.

    Raises ValueError for arguments out of range, and ShapeError, when called, for what does not fit together.

    Source: Hinton, Vinyals and Dean 2015, Distilling the knowledge in a neural network, section 2; hidden states:
    Romero et al. 2014, FitNets, equation 3.

    >>> loss = DistillationLoss(temperature=2.0, alpha=1.0)
    >>> loss(Tensor([[0.0, 0.0]]), Tensor([[0.0, 0.0]]))
    Tensor(0.)
    """

    def __init__(
        self, temperature: float = 2.0, alpha: float = 0.5, hidden: Sequence[tuple[int, int]] = (),
        hidden_weight: float = 1.0, ignore_index: int = -100, *, dtype: Any = None,
        generator: np.random.Generator | None = None,
    ) -> None:  # fmt: skip
        for name, value in (("temperature", temperature), ("hidden_weight", hidden_weight)):
            if not isfinite(real("DistillationLoss", name, value)) or value <= 0:
                raise ValueError(f"DistillationLoss: {name} is {value}; it must be a positive number")
        self.temperature = temperature
        self.alpha = probability("DistillationLoss", alpha)
        self.hidden_weight = hidden_weight
        self.ignore_index = check_int("DistillationLoss", "ignore_index", ignore_index, minimum=None)
        self.projections = ModuleList(
            Identity() if student == teacher
            else Linear(student, teacher, bias=False, dtype=dtype, generator=generator)
            for student, teacher in hidden
        )  # fmt: skip

    def forward(
        self, logits: Any, teacher_logits: Any, targets: Any = None, hidden: Sequence[Any] = (),
        teacher_hidden: Sequence[Any] = (),
    ) -> Tensor:  # fmt: skip
        """The loss of a batch: logits (..., C), targets (...), and a hidden state (..., size) for each pair."""
        theirs = array_of(teacher_logits)
        self._compare(logits, theirs, targets, hidden, teacher_hidden)
        counts = None if targets is None else array_of(targets) != self.ignore_index  # (...)
        loss = Tensor(0.0, logits.dtype)
        if self.alpha:
            loss = loss + self._soft(logits, theirs, counts) * (self.alpha * self.temperature**2)
        if self.alpha < 1:
            loss = loss + F.cross_entropy(logits, targets, self.ignore_index) * (1 - self.alpha)
        for project, state, wanted in zip(self.projections, hidden, teacher_hidden, strict=True):
            distance = project(state) - Tensor(array_of(wanted), state.dtype)  # (..., teacher's size)
            loss = loss + _mean((distance * distance).mean(axis=-1), counts) * self.hidden_weight
        return loss

    def _soft(self, logits: Tensor, theirs: Array, counts: Array | None) -> Tensor:
        """KL divergence of the softened distributions."""
        scaled = theirs / self.temperature
        log_p = F.log_softmax.forward(scaled)[0]  # (..., C), of the teacher
        log_q = F.log_softmax(logits / self.temperature)  # (..., C)
        p, excluded = np.exp(log_p), np.isneginf(log_p)
        if excluded.any():  # a class that the teacher excludes counts for nothing: 0 log 0 is 0
            log_p, log_q = np.where(excluded, 0, log_p), where(Tensor(excluded), 0.0, log_q)
        each = (Tensor(p, logits.dtype) * (Tensor(log_p, logits.dtype) - log_q)).sum(axis=-1)  # (..., C) -> (...)
        return _mean(each, counts)

    def _compare(self, logits: Any, theirs: Array, targets: Any, hidden: Sequence[Any], wanted: Sequence[Any]) -> None:
        if logits.shape != theirs.shape:
            raise ShapeError(
                f"DistillationLoss: logits of the student {logits.shape}, of the teacher {theirs.shape}; "
                "both see the same inputs and have the same classes"
            )
        if targets is None and self.alpha < 1:
            raise ValueError(f"DistillationLoss: alpha is {self.alpha} and there are no targets; give them, or alpha=1")
        if targets is not None and array_of(targets).shape != logits.shape[:-1]:
            raise ShapeError(
                f"DistillationLoss: targets {array_of(targets).shape} for logits {logits.shape}; "
                "give one integer for each row of logits"
            )
        if not len(hidden) == len(wanted) == len(self.projections):
            raise ShapeError(
                f"DistillationLoss: {len(hidden)} hidden states of the student, {len(wanted)} of the teacher, it is "
                f"made for {len(self.projections)}; give hidden=[(student's size, teacher's size), ...] when making it"
            )
        for project, state, other in zip(self.projections, hidden, wanted, strict=True):
            mine, wide = state.shape[-1:], other.shape[-1:]  # () for a single number
            expected = (project.in_features, project.out_features) if isinstance(project, Linear) else 2 * mine
            if (*mine, *wide) != expected or state.shape[:-1] != other.shape[:-1] or not mine:
                raise ShapeError(
                    f"DistillationLoss: hidden states {state.shape} of the student and {other.shape} of the teacher; "
                    "say their sizes when making it: hidden=[(student's, teacher's), ...]"
                )

    def extra_repr(self) -> str:
        return f"temperature={self.temperature:g}, alpha={self.alpha:g}"


def _mean(each: Tensor, counts: Array | None) -> Tensor:
    """The mean of what counts; hidden states that are not one per target count all."""
    if counts is None or counts.shape != each.shape or counts.all():
        return each.mean()
    weights = counts.astype(each.dtype) / max(np.count_nonzero(counts), 1)
    return (each * Tensor(weights, each.dtype)).sum()
