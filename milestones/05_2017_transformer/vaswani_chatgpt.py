"""2017, attention: a transformer learns to talk, and answers through its key-value cache.

Vaswani and others did without recurrence: every token looks at all tokens before it, at once, and what it looks at is
learned. The same blocks, stacked and trained to name the next token, became GPT and then the assistants that people
talk with. This one is trained on TinyTalks, questions and answers about everyday things, on stages that you can read.
It hears each question in some phrasings, now and then with a letter missing or a "Tell me:" before it, and is examined
in other phrasings, so what it shows is learning and not memory.

    hatch run tinytalks            train, show what was learned, and talk
    hatch run tinytalks --chat     talk with the model that was trained last; or answer the lines of a pipe
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import numpy as np
from rich.console import Console
from rich.table import Table
from talks import Pair, Talker, TooLong, drop_letter, vary

from tinytorch.data import DataLoader
from tinytorch.data.datasets import tinytalks
from tinytorch.kvcache import disable_kv_cache, enable_kv_cache
from tinytorch.layers import load_metadata
from tinytorch.optim import AdamW, CosineSchedule, WarmupSchedule
from tinytorch.profiler import Profiler
from tinytorch.tensor import Tensor, default_generator, manual_seed
from tinytorch.training import Dashboard, Run, Trainer

sys.path.append(str(Path(__file__).resolve().parents[1]))  # for what the milestones share
import claims

# held out: none of these is asked in this way in training
QUESTIONS = [
    "Hello, Tiny!",
    "Which country is the home of pizza?",
    "Is a penguin able to fly?",
    "At how many degrees does water freeze?",
    "What day comes after Monday?",
]
LEARNED = 0.95  # what the default run claims of the training questions
HELD_OUT: list[tuple[str, float, Callable[[str, np.random.Generator], str]]] = [
    # how the held-out phrasings are typed, and what the default run claims of them
    ("as written", 0.95, lambda question, generator: question),
    ("in lower case", 0.85, lambda question, generator: question.lower()),
    ("in capitals", 0.85, lambda question, generator: question.upper()),
    ("with a letter dropped", 0.80, drop_letter),
    ('after "Please tell me: "', 0.90, lambda question, generator: f"Please tell me: {question}"),
]
DEFAULT, QUICK = 1500, 250  # steps
FOLDER = Path("runs/tinytalks")


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "hatch run tinytalks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, help=f"training steps (default {DEFAULT}, with --quick {QUICK})")
    parser.add_argument("--quick", action="store_true", help=f"a short training, kept in {FOLDER}-quick")
    parser.add_argument("--seed", type=int, default=0, help="of everything that is drawn (default 0)")
    parser.add_argument("--chat", action="store_true", help="no training: talk with the model that was saved")
    parser.add_argument("--resume", action="store_true", help="go on with a training that was interrupted")
    parser.add_argument(
        "--use-cache", action=argparse.BooleanOptionalAction, default=True, help="talk through the key-value cache"
    )
    parser.add_argument("--plot", type=Path, metavar="PATH", help="save the dashboard as it looks in the end, as SVG")
    parser.add_argument("--folder", type=Path, help=f"of the model (default {FOLDER})")
    chosen = parser.parse_args(argv)
    chosen.steps = (QUICK if chosen.quick else DEFAULT) if chosen.steps is None else chosen.steps
    chosen.folder = chosen.folder or (Path(f"{FOLDER}-quick") if chosen.quick else FOLDER)
    if chosen.steps < 1:
        parser.error(f"--steps {chosen.steps}: at least one")
    if chosen.seed < 0:
        parser.error(f"--seed {chosen.seed}: a seed is 0 or more")
    if chosen.plot:
        claims.check_plot(parser, chosen.plot, ".svg")
    return chosen


def command(chosen: argparse.Namespace, *options: str) -> str:
    """What to type to call this program again for the same folder."""
    folder = [] if chosen.folder == FOLDER else ["--folder", str(chosen.folder)]
    return shlex.join(["hatch", "run", "tinytalks", *options, *folder])


def resuming(chosen: argparse.Namespace) -> str:
    return command(chosen, "--resume", "--steps", str(chosen.steps), "--seed", str(chosen.seed))


def check_folder(chosen: argparse.Namespace, checkpoint: Path) -> None:
    """Refuse to train where that would overwrite something better, or a file of another program."""
    model = chosen.folder / "model.safetensors"
    if model.exists():
        Talker.load(chosen.folder)  # a file that is not ours is an error now, not after the training
        trained = int(load_metadata(model).get("steps", 0))
        if trained > chosen.steps:
            raise FileExistsError(
                f"{model} was trained for {trained:,} steps, and {chosen.steps:,} would overwrite it; "
                "give another --folder, or delete the file"
            )
    if chosen.resume and not checkpoint.exists():
        raise FileNotFoundError(f"there is no interrupted training in {chosen.folder}; leave out --resume")
    if checkpoint.exists() and not chosen.resume:
        raise FileExistsError(
            f"{checkpoint} holds an interrupted training; to start over, delete the file; "
            f"to go on, with the --steps and --seed of that training:\n{resuming(chosen)}"
        )


def train(chosen: argparse.Namespace) -> Talker:
    """Train a new model, watched on a dashboard, and save it."""
    manual_seed(chosen.seed)
    checkpoint = chosen.folder / "training.safetensors"
    check_folder(chosen, checkpoint)
    pairs = list(tinytalks("train"))
    talker = Talker.new(pairs, embed_dim=96, num_layers=2, num_heads=4, dropout=0.1)
    model = talker.model

    def batch(pairs: list[Pair]) -> tuple[Tensor, Tensor]:
        """The variations are new in each epoch; the checkpoint holds the generator that draws them."""
        return talker.batch([talker.sample((vary(asked, default_generator()), said)) for asked, said in pairs])

    loader = DataLoader(pairs, 32, shuffle=True, collate=batch)
    optimizer = AdamW(model.parameters(), lr=3e-3, betas=(0.9, 0.98), weight_decay=0.1)
    schedule = WarmupSchedule(optimizer, min(50, chosen.steps), after=CosineSchedule(optimizer, chosen.steps))
    dashboard = Dashboard(title=f"TinyTalks: {model.num_parameters():,} parameters, {len(pairs)} questions")
    right, every = dict(tinytalks("test")), max(chosen.steps // 30, 1)

    def show_answers(run: Run) -> None:
        if run.step % every == 0 or run.step == chosen.steps:
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
    trainer.fit(loader, steps=chosen.steps, resume=chosen.resume, progress=dashboard)
    model.eval()
    talker.save(chosen.folder, chosen.steps)
    checkpoint.unlink()  # what is left there is an interrupted training
    if chosen.plot:
        dashboard.save_svg(chosen.plot, "hatch run tinytalks")
    return talker


def examine(talker: Talker, chosen: argparse.Namespace, console: Console) -> bool:
    """Ask everything, show some of it, and say whether the claims are kept, where they are made."""
    claimed = chosen.steps >= DEFAULT
    enable_kv_cache(talker.model)
    shown = Table("question, in words that training did not hear", "answer", title="\nWhat it says")
    for question, answer in zip(QUESTIONS, talker.answers(QUESTIONS), strict=True):
        shown.add_row(question, answer)
    console.print(shown)
    held_out, generator = list(tinytalks("test")), np.random.default_rng(chosen.seed)
    scores = [("the training questions", LEARNED, talker.score(list(tinytalks("train"))))]
    for words, at_least, typed in HELD_OUT:
        pairs = [(typed(asked, generator), said) for asked, said in held_out]
        scores.append((f"held-out phrasings {words}", at_least, talker.score(pairs)))
    disable_kv_cache(talker.model)
    table = Table("answered to the letter", "", *["claimed"] * claimed, title="\nWhat it learned")
    for words, at_least, score in scores:
        table.add_row(words, f"{score:.1%}", *[f"at least {at_least:.0%}"] * claimed)
    console.print(table)
    kept = all(score >= at_least for _, at_least, score in scores)
    if claimed:
        console.print("[green]The claims are kept." if kept else "[bold red]The claims are NOT kept.")
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


def talk(talker: Talker, console: Console) -> None:
    """Answer what is typed until there is nothing more to answer."""
    console.print("\nAsk something about everyday things; an empty line, Ctrl-C or Ctrl-D ends the talk.")
    try:
        while question := console.input("[bold]you:  [/]").strip():
            console.print("[bold]tiny:[/] ", end="")
            try:
                for piece in talker.stream(question):
                    console.print(piece, end="", markup=False, highlight=False)
                console.print()
            except TooLong as error:
                console.print(str(error), style="yellow", highlight=False)
    except (EOFError, KeyboardInterrupt):
        console.print()
    console.print("Goodbye!")


def answer_lines(talker: Talker) -> bool:
    """Answer each line of the standard input with one line; False when a question was too long to answer."""
    if sys.stdin.isatty():
        print("Type one question per line; Ctrl-D ends.", file=sys.stderr)
    answered = True
    for question in filter(None, map(str.strip, sys.stdin)):
        try:
            print("".join(talker.stream(question)), flush=True)
        except TooLong as error:
            print(error, flush=True)
            answered = False
    return answered


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0, 1 for an error or a claim that was not kept, 130 after Ctrl-C."""
    chosen, console = arguments(argv), Console()
    try:
        talker = Talker.load(chosen.folder) if chosen.chat else train(chosen)
    except KeyboardInterrupt:
        console.print("\nInterrupted; everything so far is saved. Go on with:")
        console.print(resuming(chosen), soft_wrap=True, highlight=False, markup=False)
        return 130
    except (OSError, ValueError) as error:
        console.print(str(error), style="red", soft_wrap=True, highlight=False, markup=False)
        return 1
    kept = True
    if not chosen.chat:
        kept = examine(talker, chosen, console)
        compare(talker, console)
        profile(talker, console)
        console.print(f"\nThe model is saved in {chosen.folder}. To talk with it:", highlight=False, markup=False)
        console.print(command(chosen, "--chat"), soft_wrap=True, highlight=False, markup=False)
    if chosen.use_cache:
        enable_kv_cache(talker.model)
    if sys.stdin.isatty() and console.is_terminal:
        talk(talker, console)
    elif chosen.chat:
        kept = answer_lines(talker)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(claims.run(main))
