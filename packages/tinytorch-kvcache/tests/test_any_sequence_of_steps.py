"""Whatever is done to a cache, it holds what a plain list of steps would hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tinytorch.kvcache import Cache, Int8Cache

from .kinds import EVERY, LAYERS, LENGTH, Maker, entries


class Steps(RuleBasedStateMachine):
    """A cache beside the concatenation of everything that it was given."""

    make: Maker

    @initialize(batch_size=st.integers(1, 3))
    def start(self, batch_size: int) -> None:
        self.cache: Cache = type(self).make(batch_size)
        self.other: tuple[Cache, Any, Any] | None = None
        self.seed = 0
        self.tokens = np.empty((batch_size, 0), np.int64)
        self.whole = [entries(batch_size, 0) for _ in range(LAYERS)]

    @rule(n=st.integers(1, 9), twice=st.booleans())
    def step(self, n: int, twice: bool) -> None:
        if self.cache.seq_pos + n > LENGTH:
            return
        for _ in range(1 + twice):
            self.seed += LAYERS
            given = [entries(self.cache.batch_size, n, self.seed + layer) for layer in range(LAYERS)]
            for layer, (keys, values) in enumerate(given):
                self.cache.update(layer, keys, values)
        tokens = np.random.default_rng(self.seed).integers(0, 3, (self.cache.batch_size, n))
        self.cache.advance(n, tokens)
        self.tokens = np.concatenate((self.tokens, tokens), axis=1)
        self.whole = [
            (np.concatenate((old[0], new[0]), axis=2), np.concatenate((old[1], new[1]), axis=2))
            for old, new in zip(self.whole, given, strict=True)
        ]

    @rule(n=st.integers(0, LENGTH))
    def truncate(self, n: int) -> None:
        if n == 0 or self.cache.rewindable <= n <= self.cache.seq_pos:
            self.cache.truncate(n)
            self._cut(n)

    @rule(data=st.data())
    def reorder(self, data: st.DataObject) -> None:
        rows = data.draw(st.lists(st.integers(0, self.cache.batch_size - 1), min_size=1, max_size=3))
        self.cache.reorder(rows)
        self.tokens = self.tokens[rows]
        self.whole = [(keys[rows], values[rows]) for keys, values in self.whole]

    @rule()
    def fork(self) -> None:
        self.other = self.cache.copy(), self.tokens, self.whole

    @precondition(lambda self: self.other is not None)
    @rule()
    def swap(self) -> None:
        assert self.other is not None
        (self.cache, self.tokens, self.whole), self.other = self.other, (self.cache, self.tokens, self.whole)

    def _cut(self, n: int) -> None:
        self.tokens = self.tokens[:, :n]
        self.whole = [(keys[:, :, :n], values[:, :, :n]) for keys, values in self.whole]

    @invariant()
    def holds_what_it_was_given(self) -> None:
        for cache, tokens, whole in ((self.cache, self.tokens, self.whole), *([self.other] if self.other else [])):
            assert cache.seq_pos == tokens.shape[1]
            assert np.array_equal(cache.tokens, tokens)
            positions = cache.positions()
            for layer, exact in enumerate(whole):
                for kept, wanted in zip(cache.get(layer), exact, strict=True):
                    wanted = wanted[:, :, positions]
                    assert kept.shape == wanted.shape
                    limit = np.abs(wanted).max(axis=-1, keepdims=True) / 250 if isinstance(cache, Int8Cache) else 0
                    assert (np.abs(kept.data - wanted) <= limit).all()


@pytest.mark.parametrize("make", EVERY)
def test_any_sequence_of_steps(make: Maker) -> None:
    machine = type("Steps", (Steps,), {"make": staticmethod(make)})
    run_state_machine_as_test(machine, settings=settings(max_examples=25, stateful_step_count=20, deadline=None))
