"""2017, attention: a transformer learns to talk, and answers through its key-value cache.

Vaswani and others threw recurrence away: every token looks at all before it, at once, and what it looks at is learnt.
The same blocks, stacked and trained to name the next token, became GPT and then the assistants that people talk with.
This one is trained on TinyTalks, questions and answers about everyday things, on stages that you can read. It hears
each fact in some phrasings and is examined in others, so what it shows is learning and not memory.

    hatch run tinytalks            train, show what was learnt, and talk
    hatch run tinytalks --chat     talk with the model that was trained last
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np
from rich.console import Console
from rich.table import Table
from talks import Talker

from tinytorch.data import DataLoader
from tinytorch.data.datasets import tinytalks
from tinytorch.kvcache import disable_kv_cache, enable_kv_cache
from tinytorch.optim import AdamW, CosineSchedule, WarmupSchedule
from tinytorch.profiler import Profiler
from tinytorch.tensor import manual_seed
from tinytorch.training import Dashboard, Trainer

# held out: none of these is asked in this way in training
QUESTIONS = [
    "Hello, Tiny!",
    "Which country is the home of pizza?",
    "Is a penguin able to fly?",
    "At how many degrees does water freeze?",
    "What day comes after Monday?",
]
LEARNT, GENERAL = 0.95, 0.70  # what the default run claims of the training questions and of the held-out phrasings
DEFAULT = 1500  # steps


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, help=f"training steps (default {DEFAULT}, with --quick 250)")
    parser.add_argument("--quick", action="store_true", help="a short training, enough to see that it learns")
    parser.add_argument("--seed", type=int, default=0, help="of everything that is drawn (default 0)")
    parser.add_argument("--chat", action="store_true", help="no training: talk with the model that was saved")
    parser.add_argument("--resume", action="store_true", help="go on with a training that was interrupted")
    parser.add_argument(
        "--use-cache", action=argparse.BooleanOptionalAction, default=True, help="talk through the key-value cache"
    )
    parser.add_argument("--plot", type=Path, help="save the dashboard as it looks in the end, as SVG")
    parser.add_argument("--folder", type=Path, default=Path("runs/tinytalks"), help="of the model (runs/tinytalks)")
    chosen = parser.parse_args(argv)
    chosen.steps = (250 if chosen.quick else DEFAULT) if chosen.steps is None else chosen.steps
    if chosen.steps < 1:
        parser.error(f"--steps {chosen.steps}: at least one")
    return chosen


def train(chosen: argparse.Namespace) -> Talker:
    """Train a new model, watched on a dashboard, and save it."""
    manual_seed(chosen.seed)
    checkpoint = chosen.folder / "training.safetensors"
    pairs = list(tinytalks("train"))
    talker = Talker.new(pairs, embed_dim=96, num_layers=2, num_heads=4, dropout=0.1)
    model = talker.model
    loader = DataLoader([talker.sample(pair) for pair in pairs], 32, shuffle=True, collate=talker.batch)
    optimizer = AdamW(model.parameters(), lr=3e-3, betas=(0.9, 0.98), weight_decay=0.1)
    schedule = WarmupSchedule(optimizer, min(50, chosen.steps), after=CosineSchedule(optimizer, chosen.steps))
    dashboard = Dashboard(title=f"TinyTalks: {model.num_parameters():,} parameters, {len(pairs)} questions")
    right, every = dict(tinytalks("test")), max(chosen.steps // 30, 1)

    def show_answers(trainer: Trainer) -> None:
        if trainer.step % every == 0 or trainer.step == chosen.steps:
            model.eval()
            given = talker.answers(QUESTIONS)
            dashboard.show_samples(
                [(asked, said, said == right[asked]) for asked, said in zip(QUESTIONS, given, strict=True)]
            )
            model.train()

    trainer = Trainer(
        model, optimizer, loss_fn=talker.loss, schedule=schedule, clip_norm=1.0, unit="tokens",
        callbacks=[show_answers], checkpoint=checkpoint, checkpoint_every=max(chosen.steps // 5, 1),
    )  # fmt: skip
    chosen.folder.mkdir(parents=True, exist_ok=True)
    if (chosen.folder / "model.safetensors").exists():
        Talker.load(chosen.folder)  # a file that is not ours is an error now, not after the training
    if not chosen.resume:
        trainer.save_checkpoint(checkpoint)
    trainer.fit(loader, steps=chosen.steps, resume=chosen.resume, progress=dashboard)
    if chosen.plot:
        dashboard.save_svg(chosen.plot, "hatch run tinytalks")
    model.eval()
    talker.save(chosen.folder)
    return talker


def examine(talker: Talker, claimed: bool, console: Console) -> bool:
    """Ask everything, show some of it, and say whether the claim is kept, where one is made."""
    enable_kv_cache(talker.model)
    learnt, general = talker.score(list(tinytalks("train"))), talker.score(list(tinytalks("test")))
    shown = Table("question, in words that training did not hear", "answer", title="\nWhat it says")
    for question, answer in zip(QUESTIONS, talker.answers(QUESTIONS), strict=True):
        shown.add_row(question, answer)
    disable_kv_cache(talker.model)
    console.print(shown)
    kept = learnt >= LEARNT and general >= GENERAL
    claim = f"; the claim, {LEARNT:.0%} and {GENERAL:.0%}, is {'kept' if kept else 'NOT kept'}" if claimed else ""
    asked = f"{learnt:.1%} of the training questions, {general:.1%} of the held-out phrasings"
    console.print(f"answered to the letter: {asked}{claim}")
    return kept or not claimed


def compare(talker: Talker, console: Console, new: int = 100, runs: int = 3) -> None:
    """Generate the same text without and with the cache: the tokens must be equal, the speeds should not."""
    model, prompt = talker.model, talker.question(QUESTIONS[1])
    seconds: dict[bool, list[float]] = {False: [], True: []}
    texts = []
    for cached in [False, True] * runs:
        if cached:
            enable_kv_cache(model).reset()  # from nothing, each time
        start = time.perf_counter()
        texts.append(model.generate([prompt], new, temperature=0).data)
        seconds[cached].append(time.perf_counter() - start)
        disable_kv_cache(model)
    if not all(np.array_equal(text, texts[0]) for text in texts):
        raise RuntimeError("the cache changed the text; this is a defect of the cache, please report it")
    without, with_cache = new / median(seconds[False]), new / median(seconds[True])
    console.print(
        f"\n{new} tokens, the same ones: {without:,.0f} tokens/s without the cache, {with_cache:,.0f} with it, "
        f"{with_cache / without:.1f} times as fast"
    )


def profile(talker: Talker, console: Console) -> None:
    """Where the time of a training step goes."""
    samples = [talker.sample(pair) for pair in list(tinytalks("train"))[:32]]
    with Profiler() as profiler:
        talker.loss(talker.model, talker.batch(samples)).backward()
    talker.model.zero_grad()
    console.print("\nWhere the time of a training step goes:", profiler.rich_table(limit=8), sep="\n")


def talk(talker: Talker, use_cache: bool, console: Console) -> None:
    """Answer until there is nothing more to answer; not at all when nobody is there to ask."""
    if not sys.stdin.isatty():
        return
    console.print("\nAsk something about everyday things; an empty line, Ctrl-C or Ctrl-D ends the talk.")
    if use_cache:
        enable_kv_cache(talker.model)
    try:
        while question := console.input("[bold]you:  [/]").strip():
            console.print("[bold]tiny:[/] ", end="")
            for piece in talker.stream(question):
                console.print(piece, end="", markup=False, highlight=False)
            console.print()
    except (EOFError, KeyboardInterrupt):
        console.print()
    console.print("Goodbye!")


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0, 1 for an error or a claim that was not kept, 130 after Ctrl-C."""
    chosen, console = arguments(argv), Console()
    try:
        talker = Talker.load(chosen.folder) if chosen.chat else train(chosen)
    except KeyboardInterrupt:
        again = f"--resume --steps {chosen.steps} --seed {chosen.seed} --folder {chosen.folder}"
        console.print(f"\nInterrupted; everything so far is saved. Go on with: hatch run tinytalks {again}")
        return 130
    except (OSError, ValueError) as error:
        console.print(f"[red]{error}", highlight=False)
        return 1
    kept = True
    if not chosen.chat:
        kept = examine(talker, chosen.steps >= DEFAULT, console)
        compare(talker, console)
        profile(talker, console)
        console.print(f"\nThe model is saved in {chosen.folder}; hatch run tinytalks --chat talks with it.")
    talk(talker, chosen.use_cache, console)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
