"""What `fit` does, and in which order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinytorch.layers import CrossEntropyLoss, Linear, Module, MSELoss
from tinytorch.optim import SGD, AdamW, StepSchedule, clip_grad_norm
from tinytorch.tensor import Tensor, manual_seed
from tinytorch.training import EarlyStopping, Run, Trainer, accuracy

from .problems import dataset, loader, network, pairs, trainer, weights


def test_fit_is_the_loop_written_by_hand() -> None:
    manual_seed(0)
    model = network()
    optimizer = AdamW(model, lr=0.05)
    loss_of = CrossEntropyLoss()
    losses = []
    for _ in range(3):
        for inputs, targets in pairs():
            optimizer.zero_grad()
            loss = loss_of(model(inputs), targets)
            loss.backward()
            clip_grad_norm(model.parameters(), 0.5)
            optimizer.step()
            losses.append(loss.item())

    manual_seed(0)
    other = network()
    trained = Trainer(other, AdamW(other, lr=0.05), CrossEntropyLoss(), clip_norm=0.5)
    history = trained.fit(pairs(), epochs=3, progress=False)
    assert weights(trained) == [p.data.tobytes() for p in model.parameters()]
    np.testing.assert_array_equal(history["loss"], losses)
    assert history["step"].tolist() == list(range(1, 16))
    assert history["epoch"].tolist() == [1] * 5 + [2] * 5 + [3] * 5


def test_training_learns() -> None:
    trained = trainer(metrics=["accuracy"])
    history = trained.fit(loader(), dataset_batches(), steps=60, progress=False)
    assert history.last("valid_accuracy") > 0.9
    assert history.last("loss") < history["loss"][0] / 2


def dataset_batches() -> list[Any]:
    return [dataset().batch(np.arange(40))]


def test_accumulated_batches_equal_one_large_batch() -> None:
    data = dataset()
    uneven = [data.batch(np.arange(a, b)) for a, b in [(0, 3), (3, 16), (16, 20), (20, 40)]]
    whole = [data.batch(np.arange(0, 20)), data.batch(np.arange(20, 40))]
    found = []
    for batches, accumulate in ((whole, 1), (uneven, 3), (uneven, 4)):
        manual_seed(0)
        model = network().astype(np.float64)
        batches = [(x.astype(np.float64), y) for x, y in batches]
        trained = Trainer(model, SGD(model, lr=0.1), CrossEntropyLoss(), accumulate=accumulate)
        trained.fit(batches, epochs=1, progress=False)
        found.append((trained.run.step, [p.data for p in model.parameters()]))
    assert [steps for steps, _ in found] == [2, 2, 1]  # the last batches of an epoch form a step
    for wanted, got in zip(found[0][1], found[1][1], strict=True):
        assert got.shape == wanted.shape

    manual_seed(0)
    model = network().astype(np.float64)
    everything = [tuple(t.astype(np.float64) if t.dtype.kind == "f" else t for t in data.batch(np.arange(40)))]
    Trainer(model, SGD(model, lr=0.1), CrossEntropyLoss()).fit(everything, epochs=1, progress=False)
    for p, got in zip(model.parameters(), found[2][1], strict=True):
        np.testing.assert_allclose(got, p.data, rtol=1e-12, atol=1e-14)


def test_batches_may_be_anything() -> None:
    model = Linear(1, 1)
    batches = [{"x": Tensor([[1.0], [2.0]]), "scale": 3.0}]

    def loss_fn(model: Module, batch: Any) -> Tensor:
        error = model(batch["x"]) - batch["x"] * batch["scale"]
        return (error * error).mean()

    def largest_error(model: Module, batch: Any) -> float:
        return float(np.abs((model(batch["x"]) - batch["x"] * batch["scale"]).data).max())

    trained = Trainer(model, SGD(model, lr=0.1), loss_fn=loss_fn, metrics=[largest_error])
    history = trained.fit(batches, batches, steps=500, progress=False)
    assert history.last("valid_largest_error") < 1e-3
    assert "largest_error" not in history.columns


def test_tokens_are_counted_and_weigh() -> None:
    batches = [(Tensor(np.zeros((2, 5, 3))), Tensor(np.zeros((2, 5), dtype=int)))]
    counts = []
    for options in ({"unit": "tokens"}, {"unit": "samples"}, {"count": lambda batch: batch[1].size}):
        trained = trainer(**options)
        trained.fit(batches, steps=1, progress=False)
        counts.append(trained.run.counted)
    assert counts == [30, 2, 10]


def test_perplexity_follows_from_the_mean_loss() -> None:
    trained = trainer(metrics=["perplexity"])
    history = trained.fit(pairs(), pairs(), epochs=1, progress=False)
    assert history.last("valid_perplexity") == pytest.approx(np.exp(history.last("valid_loss")))
    assert history.last("perplexity") == pytest.approx(np.exp(history.last("loss")))


def test_evaluate_weighs_batches_by_their_size_and_leaves_the_model_as_it_was() -> None:
    data = dataset()
    trained = trainer(dropout=0.5, metrics=["accuracy"])
    trained.run.model.train()
    frozen = next(iter(trained.run.model.children()))
    frozen.training = False
    uneven = trained.evaluate([data.batch(np.arange(0, 3)), data.batch(np.arange(3, 40))])
    whole = trained.evaluate([data.batch(np.arange(40))])
    assert uneven == pytest.approx(whole, rel=1e-5)
    assert trained.run.model.training
    assert not frozen.training
    assert all(p.grad is None for p in trained.run.model.parameters())


def test_metrics_may_have_names_of_their_own() -> None:
    trained = trainer(metrics={"right": accuracy})
    history = trained.fit(pairs(), steps=2, progress=False)
    assert history.columns == ["step", "epoch", "lr", "loss", "right"]
    assert 0 <= history.last("right") <= 1


def test_accuracy_does_not_count_ignored_targets() -> None:
    assert accuracy(Tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), Tensor([0, -100, 0])) == (1, 2)
    with pytest.raises(ValueError, match="accuracy: outputs"):
        accuracy(Tensor([[1.0, 0.0]]), Tensor([0.5]))


def test_fitting_in_pieces_equals_fitting_at_once() -> None:
    whole, pieces = trainer(dropout=0.3), trainer(dropout=0.3)
    manual_seed(1)
    whole.fit(loader(generator=3), steps=17, progress=False)
    manual_seed(1)
    data = loader(generator=3)
    for steps in (1, 2, 5, 9, 10, 17):
        pieces.fit(data, steps=steps, progress=False)
    assert weights(pieces) == weights(whole)
    assert pieces.run.epoch == whole.run.epoch == 4


def test_epochs_and_steps_are_totals() -> None:
    trained = trainer()
    data = pairs()
    trained.fit(data, steps=7, progress=False)
    trained.fit(data, epochs=2, progress=False)
    assert (trained.run.step, trained.run.epoch) == (10, 2)
    trained.fit(data, epochs=2, progress=False)
    assert trained.run.step == 10
    trained.fit(pairs(3), epochs=4, progress=False)
    assert (trained.run.step, trained.run.epoch) == (16, 4)


@pytest.mark.parametrize("goal", [{"epochs": 0}, {"steps": 0}])
def test_nothing_to_do_is_done_at_once(goal: Any) -> None:
    trained = trainer()
    assert len(trained.fit(pairs(), progress=False, **goal)) == 0
    assert trained.run.step == 0


def test_total_steps_are_known_before_they_are_taken() -> None:
    seen: list[int | None] = []
    trained = trainer(accumulate=2, callbacks=[Recorder(seen)])
    data = pairs()
    trained.fit(data, steps=4, progress=False)
    trained.fit(data, epochs=3, progress=False)
    assert seen == [4, 9]
    assert trained.run.step == 9
    trained.fit((batch for batch in data), epochs=4, progress=False)
    assert seen[-1] is None


class Recorder:
    def __init__(self, seen: list[int | None]) -> None:
        self.seen = seen

    def on_fit_start(self, run: Run) -> None:
        self.seen.append(run.total_steps)


class Diary:
    """Every event, in order."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("on_"):
            raise AttributeError(name)
        return lambda run: self.events.append(f"{name[3:]} {run.step}")


def test_callbacks_see_every_event_in_order() -> None:
    diary, steps = Diary(), []
    trained = trainer(callbacks=[diary, lambda run: steps.append(run.step)])
    trained.fit(pairs(2), pairs(1), epochs=2, progress=False)
    assert diary.events == [
        "fit_start 0", "epoch_start 0", "step_end 1", "step_end 2", "validation_end 2", "epoch_end 2",
        "epoch_start 2", "step_end 3", "step_end 4", "validation_end 4", "epoch_end 4", "fit_end 4",
    ]  # fmt: skip
    assert steps == [1, 2, 3, 4]


def test_validation_may_come_every_few_steps() -> None:
    trained = trainer()
    history = trained.fit(pairs(), pairs(1), steps=7, valid_every=3, progress=False)
    assert np.flatnonzero(~np.isnan(history["valid_loss"])).tolist() == [2, 5]


def test_an_end_that_shows_only_when_no_batch_comes_is_not_a_step() -> None:
    diary = Diary()
    trainer(callbacks=[diary]).fit((batch for batch in pairs(2)), pairs(1), epochs=1, valid_every=2, progress=False)
    assert diary.events == [
        "fit_start 0", "epoch_start 0", "step_end 1", "step_end 2", "validation_end 2", "epoch_end 2", "fit_end 2",
    ]  # fmt: skip


def test_what_a_callback_raises_passes_through_and_the_end_is_called() -> None:
    diary = Diary()

    def fail(run: Run) -> None:
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        trainer(callbacks=[fail, diary]).fit(pairs(), epochs=1, progress=False)
    assert diary.events[-1] == "fit_end 1"


def test_a_callback_may_stop_the_training() -> None:
    trained = trainer(callbacks=[lambda run: run.stop() if run.step == 3 else None])
    trained.fit(pairs(), epochs=9, progress=False)
    assert trained.run.step == 3


def test_early_stopping_waits_and_keeps_the_best(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = iter([3.0, 2.0, 2.5, 1.0, 1.1, 1.2, 0.5])
    stopping = EarlyStopping(patience=2, best=tmp_path / "best.safetensors")
    trained = trainer(callbacks=[stopping])
    monkeypatch.setattr(trained, "evaluate", lambda data: {"loss": next(values)})
    trained.fit(pairs(2), pairs(1), epochs=99, progress=False)
    assert (trained.run.epoch, stopping.best_value) == (6, 1.0)
    again = trainer(callbacks=[EarlyStopping(patience=2)])
    again.run.load_checkpoint(tmp_path / "best.safetensors")
    assert again.run.step == 8


def test_early_stopping_names_a_column_that_is_not_measured() -> None:
    with pytest.raises(ValueError, match="no column 'valid_f1'; there are step"):
        trainer(callbacks=[EarlyStopping("valid_f1")]).fit(pairs(), pairs(1), epochs=1, progress=False)


def test_a_loss_that_is_not_finite_is_refused_before_the_update() -> None:
    trained = trainer()
    before = weights(trained)
    with pytest.raises(FloatingPointError, match="the loss is nan at step 1"):
        trained.fit([(Tensor([[np.nan, 1.0, 1.0]]), Tensor([0]))], steps=3, progress=False)
    assert weights(trained) == before


def test_an_optimizer_of_another_model_is_refused() -> None:
    with pytest.raises(ValueError, match="the optimizer has no parameter of this model"):
        Trainer(network(), SGD(network()), CrossEntropyLoss())
    model = network()
    Trainer(model, SGD([next(iter(model.parameters()))]), CrossEntropyLoss())  # part of it is enough


def test_empty_validation_data_is_refused_before_the_first_step() -> None:
    trained = trainer()
    with pytest.raises(ValueError, match="the validation data has no batch"):
        trained.fit(pairs(), [], epochs=1, progress=False)
    assert trained.run.step == 0


def once() -> Iterator[Any]:
    yield from pairs()


def test_data_that_can_be_run_through_once_gives_one_epoch() -> None:
    trained = trainer()
    trained.fit(once(), epochs=1, progress=False)
    assert trained.run.step == 5
    with pytest.raises(ValueError, match="ended after 5 batches and cannot start over"):
        trainer().fit(once(), steps=6, progress=False)


@pytest.mark.parametrize(
    ("fit", "message"),
    [
        (lambda t: t.fit(pairs(), progress=False), "either epochs or steps"),
        (lambda t: t.fit(pairs(), epochs=1, steps=1, progress=False), "either epochs or steps"),
        (lambda t: t.fit([], steps=1, progress=False), "has no batch"),
        (lambda t: t.fit(pairs(), [], epochs=1, progress=False), "the validation data has no batch"),
        (lambda t: t.fit(pairs(), steps=1, resume=True, progress=False), "needs a Trainer"),
        (lambda t: t.fit(["words"], steps=1, progress=False), "holds no array to count"),
        (lambda t: trainer(accumulate=0), "accumulate is 0"),
        (lambda t: trainer(checkpoint_every=0), "checkpoint_every is 0"),
        (lambda t: t.fit(pairs(), pairs(), epochs=1, valid_every=0, progress=False), "valid_every is 0"),
        (lambda t: t.fit(pairs(), steps=-1, progress=False), "steps is -1"),
        (lambda t: t.fit(pairs(), epochs=-1, progress=False), "epochs is -1"),
        (lambda t: trainer(unit="words"), "unit='words'"),
        (lambda t: trainer(metrics=[3]), "metric 3"),
        (lambda t: Trainer(t.run.model, t.run.optimizer), "either loss"),
        (
            lambda t: Trainer(t.run.model, t.run.optimizer, loss_fn=len, metrics=["accuracy"]),
            "needs outputs and targets",
        ),
        (lambda t: Trainer(t.run.model, SGD(t.run.model), MSELoss(), schedule=t.run.schedule), "another optimizer"),
        (lambda t: EarlyStopping(patience=0), "patience=0"),
    ],
)
def test_a_wrong_argument_is_named(fit: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit(trainer())


def test_accuracy_needs_outputs_and_targets() -> None:
    model = network()
    with pytest.raises(ValueError, match="needs outputs and targets"):
        Trainer(model, SGD(model), loss_fn=lambda model, batch: model(batch), metrics=["accuracy"])


def test_what_is_neither_a_pair_nor_a_callback_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="loss needs pairs"):
        trainer().fit([pairs()[0][0]], steps=1, progress=False)
    with pytest.raises(TypeError, match="has none of on_fit_start"):
        trainer(callbacks=[3])


def test_schedules_advance_once_per_step() -> None:
    model = network()
    optimizer = SGD(model, lr=1e-3)
    trained = Trainer(
        model, optimizer, CrossEntropyLoss(), schedule=StepSchedule(optimizer, step_size=2, gamma=0.5), accumulate=2
    )
    history = trained.fit(pairs(4), epochs=2, progress=False)
    np.testing.assert_allclose(history["lr"], [1e-3, 1e-3, 5e-4, 5e-4])
