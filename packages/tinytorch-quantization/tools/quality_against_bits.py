"""What fewer bits cost: perplexity and accuracy of three models that are trained here, as a table and a picture.

A language model of Python's own source, the assistant of the milestone on TinyTalks, and the network of the milestone
on digits are trained once; each is then quantized in every way, and measured on what it was not trained on.

    python packages/tinytorch-quantization/tools/quality_against_bits.py --plot bits.svg     about 15 minutes
    python packages/tinytorch-quantization/tools/quality_against_bits.py --quick             about 2 minutes
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from tinytorch.autograd import no_grad
from tinytorch.data import DataLoader
from tinytorch.data.datasets import digits, python_source, tinytalks
from tinytorch.kvcache import disable_kv_cache, enable_kv_cache
from tinytorch.layers import Module
from tinytorch.layers import functional as F
from tinytorch.optim import AdamW, CosineSchedule, WarmupSchedule
from tinytorch.quantization import calibrate, quantize
from tinytorch.tensor import default_generator, manual_seed, replacing
from tinytorch.tokenizers import BPETokenizer
from tinytorch.training import Trainer
from tinytorch.transformer import GPT

MILESTONES = Path(__file__).resolve().parents[3] / "milestones"
sys.path += [str(MILESTONES), str(MILESTONES / "04_1998_cnn"), str(MILESTONES / "05_2017_transformer")]
import cnn_digits  # noqa: E402
import images  # noqa: E402
from talks import Talker, vary  # noqa: E402

GROUP = 32


@dataclass(frozen=True)
class Way:
    """One way to quantize: the arguments of `quantize`, and whether examples are given to it, or for calibration."""

    name: str
    bits: int | str | None
    family: str
    options: dict[str, Any] = field(default_factory=dict)


GPTQ = {"group_size": GROUP, "method": "gptq"}
WAYS = [
    Way("float32", None, "floats"),
    Way("bfloat16", "bfloat16", "floats"),
    Way("float16", "float16", "floats"),
    Way("int8", 8, "nearest"),
    Way("int8, activations dynamic", 8, "activations", {"activations": "dynamic"}),
    Way("int8, activations static (mse)", 8, "activations", {"activations": "static"}),
    *(
        Way(f"int{bits}, groups of {GROUP}, {name}", bits, name, options)
        for bits in (4, 3, 2)
        for name, options in (
            ("nearest", {"group_size": GROUP}),
            ("nearest, zero points", {"group_size": GROUP, "symmetric": False}),
            ("GPTQ", GPTQ),
            ("GPTQ by activation", {**GPTQ, "act_order": True}),
        )
    ),
]


@dataclass
class Subject:
    """A trained model: examples of what it is called with, what is left as it is, and how it is measured."""

    name: str
    model: Module
    examples: list[Any]
    measure: Callable[[Module], dict[str, float]]
    exclude: Any = None
    groups: bool = True


def language_model(quick: bool) -> Subject:
    """A GPT of Python's source, in tokens of its own, measured on modules that it has not read."""
    text = python_source(200_000 if quick else 2_000_000)
    split = len(text) * 9 // 10
    tokenizer = BPETokenizer.train([text[:split]], 512)
    read, others = (np.array(tokenizer.encode(part)) for part in (text[:split], text[split:]))
    T, steps = 128, 120 if quick else 1500
    model = GPT(tokenizer.vocab_size, 64 if quick else 128, 2 if quick else 4, 4, T)
    optimizer = AdamW(model.parameters(), lr=3e-3, weight_decay=0.1)
    schedule = WarmupSchedule(optimizer, steps // 20, after=CosineSchedule(optimizer, steps))
    generator = np.random.default_rng(0)

    def draw(ids: Any, rows: int) -> Any:
        starts = generator.integers(0, len(ids) - T - 1, rows)
        return ids[starts[:, None] + np.arange(T + 1)]

    for _ in range(steps):
        batch = draw(read, 8)
        optimizer.zero_grad()
        F.cross_entropy(model(batch[:, :-1]), batch[:, 1:]).backward()
        optimizer.step()
        schedule.step()
    held_out = draw(others, 16 if quick else 128)

    def measure(model: Any) -> dict[str, float]:
        with no_grad():
            parts = np.array_split(held_out, len(held_out) // 8)
            losses = [F.cross_entropy(model(rows[:, :-1]), rows[:, 1:]).item() for rows in parts]
        return {"perplexity": float(np.exp(np.mean(losses)))}

    return Subject("Python's source", model.eval(), [draw(read, 8)[:, :-1] for _ in range(4 if quick else 16)], measure)


def assistant(quick: bool) -> Subject:
    """The model of the TinyTalks milestone, measured on phrasings that it has not heard."""
    pairs, held_out = list(tinytalks("train")), list(tinytalks("test"))
    talker = Talker.new(pairs, embed_dim=96, num_layers=2, num_heads=4, dropout=0.1)
    steps = 120 if quick else 1500

    def batch(chosen: Any) -> Any:
        return talker.batch([talker.sample((vary(asked, default_generator()), said)) for asked, said in chosen])

    optimizer = AdamW(talker.model.parameters(), lr=3e-3, betas=(0.9, 0.98), weight_decay=0.1)
    schedule = WarmupSchedule(optimizer, 50, after=CosineSchedule(optimizer, steps))
    trainer = Trainer(talker.model, optimizer, loss_fn=talker.loss, schedule=schedule, clip_norm=1.0)
    trainer.fit(DataLoader(pairs, 32, shuffle=True, collate=batch), steps=steps, progress=False)
    examined = held_out[:64] if quick else held_out
    read, follows = talker.batch([talker.sample(pair) for pair in examined])

    def measure(model: Any) -> dict[str, float]:
        with no_grad():
            loss = F.cross_entropy(model(read), follows, ignore_index=-100).item()
        other = Talker(model, talker.tokenizer)
        enable_kv_cache(model)
        score = other.score(examined)
        disable_kv_cache(model)
        return {"perplexity": float(np.exp(loss)), "accuracy": score}

    examples = [talker.batch([talker.sample(pair) for pair in pairs[i : i + 32]])[0] for i in range(0, 256, 32)]
    return Subject("TinyTalks", talker.model.eval(), examples, measure)


def digit_reader(quick: bool) -> Subject:
    """The network of the milestone on digits. Its first kernels, of 9 weights, do not fill bytes in pairs."""
    train, held_out = DataLoader(digits("train"), 32, shuffle=True), DataLoader(digits("test"), 355)
    model = cnn_digits.network()
    images.train(model, train, held_out, epochs=2 if quick else 20, lr=3e-3, label_smoothing=0.1)
    labels = np.concatenate([answer.data for _, answer in held_out])
    seen = [pixels for pixels, _ in train][:8]

    def measure(model: Module) -> dict[str, float]:
        return {"accuracy": float((images.read(model, held_out) == labels).mean())}

    return Subject("digits", model.eval(), seen, measure, exclude="0", groups=False)


def quantized(subject: Subject, way: Way) -> Module:
    model, options = copy.deepcopy(subject.model), dict(way.options)
    if way.bits is None:
        return model
    if not subject.groups:
        options.pop("group_size", None)
    if options.get("method") == "gptq":
        options["batches"] = subject.examples
    integers = isinstance(way.bits, int) and way.bits <= 4
    quantize(model, way.bits, exclude=subject.exclude if integers else None, **options)
    if options.get("activations") == "static":
        calibrate(model, subject.examples, "mse")
    return model


def table(rows: list[dict[str, Any]], subjects: list[Subject]) -> Table:
    shown = Table("weights", title="What fewer bits cost")
    for subject in subjects:
        for column in rows[0][subject.name]:
            shown.add_column(f"{subject.name}\n{column}", justify="right")
    for row in rows:
        cells = [row["way"]]
        for subject in subjects:
            for column, value in row[subject.name].items():
                cells.append(f"{value:.2f}" if column == "perplexity" else f"{value:.1%}")
        shown.add_row(*cells)
    return shown


def draw(rows: list[dict[str, Any]], subjects: list[Subject], path: Path) -> None:
    """Each measure over the bits of a code."""
    from matplotlib.figure import Figure

    measures = [(subject.name, column) for subject in subjects for column in rows[0][subject.name] if column != "size"]
    figure = Figure(figsize=(4.2 * len(measures), 4), layout="constrained")
    for axes, (name, column) in zip(figure.subplots(1, len(measures), squeeze=False)[0], measures, strict=True):
        for family in dict.fromkeys(row["family"] for row in rows):
            points = [(row["bits"], row[name][column]) for row in rows if row["family"] == family]
            axes.plot(*zip(*sorted(points), strict=True), marker="o", label=family)
        axes.set(title=name, xlabel="bits of a weight", ylabel=column, xscale="log", xticks=[2, 4, 8, 16, 32])
        axes.set_xticklabels(["2", "4", "8", "16", "32"])
        axes.minorticks_off()
        if column == "perplexity":
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter("{x:.4g}")
            axes.yaxis.set_minor_formatter("{x:.4g}")
    axes.legend()
    with replacing(path) as draft:
        figure.savefig(draft, format=path.suffix[1:])


def examine(subjects: list[Subject], console: Console) -> list[dict[str, Any]]:
    rows = []
    for way in WAYS:
        bits = {None: 32, "float16": 16, "bfloat16": 16}.get(way.bits, way.bits)
        row: dict[str, Any] = {"way": way.name, "family": way.family, "bits": bits}
        for subject in subjects:
            model = quantized(subject, way)
            row[subject.name] = {"size": model.nbytes / subject.model.nbytes, **subject.measure(model)}
        rows.append(row)
        console.print(f"  {way.name}")
    return rows


def claims_kept(rows: list[dict[str, Any]]) -> dict[str, bool]:
    """What is claimed of the language model: int8 within 0.5 %, int4 with GPTQ within 4 % of float32."""
    found = {row["way"]: row["Python's source"]["perplexity"] for row in rows}
    exact = found["float32"]
    return {
        "int8 within 0.5 %": found["int8"] <= 1.005 * exact,
        "int4 with GPTQ within 4 %": found[f"int4, groups of {GROUP}, GPTQ"] <= 1.04 * exact,
    }


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smaller models, trained for a short time")
    parser.add_argument("--seed", type=int, default=0, help="of everything that is drawn (default 0)")
    parser.add_argument("--plot", type=Path, help="save a picture, as SVG, PNG or PDF")
    parser.add_argument("--json", type=Path, help="save the figures")
    chosen = parser.parse_args(argv)
    console = Console() if sys.stdout.isatty() else Console(width=140)
    manual_seed(chosen.seed)
    subjects = []
    for make in (language_model, assistant, digit_reader):
        console.print(f"training: {make.__name__}")
        subjects.append(make(chosen.quick))
    console.print("quantizing")
    rows = examine(subjects, console)
    console.print(table(rows, subjects))
    if chosen.json:
        with replacing(chosen.json) as draft:
            draft.write_text(json.dumps(rows, indent=1))
    if chosen.plot:
        draw(rows, subjects, chosen.plot)
    kept = claims_kept(rows)
    for claim, is_kept in kept.items():
        console.print(f"[green]kept:[/] {claim}" if is_kept else f"[bold red]NOT kept:[/] {claim}")
    return 0 if all(kept.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
