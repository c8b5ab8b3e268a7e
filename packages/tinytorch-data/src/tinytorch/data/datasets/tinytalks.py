"""TinyTalks: everyday questions and answers, written for this project."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files

from ..dataset import Dataset, position
from .images import Split, check_split


@dataclass(frozen=True)
class Fact:
    """One answer and the ways to ask for it: those for training, and those held out."""

    topic: str
    answer: str
    trained: list[str] = field(default_factory=list)
    held_out: list[str] = field(default_factory=list)


class TinyTalks(Dataset[tuple[str, str]]):
    """Pairs `(question, answer)`, each with its topic in `topics`."""

    def __init__(self, pairs: list[tuple[str, str]], topics: list[str]) -> None:
        self.pairs = pairs
        self.topics = topics

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> tuple[str, str]:
        return self.pairs[position(index, len(self), "TinyTalks")]


def tinytalks(split: Split = "train") -> TinyTalks:
    """Questions and answers about everyday things.

    The split holds out phrasings, not facts: each question of `"test"` asks for something that `"train"` asks for in
    other words. Raises ValueError for another split.

    >>> ("What colour is the sky?", "The sky is blue.") in tinytalks("train").pairs
    True
    """
    check_split("tinytalks", split)
    asked = [
        (question, fact)
        for fact in facts()
        for question in (fact.trained if split != "test" else []) + (fact.held_out if split != "train" else [])
    ]
    return TinyTalks([(question, fact.answer) for question, fact in asked], [fact.topic for _, fact in asked])


@cache
def facts() -> tuple[Fact, ...]:
    """Every fact of TinyTalks, in the order of its source text."""
    source = files("tinytorch.data") / "files" / "tinytalks" / "talks.txt"
    return tuple(read_talks(source.read_text(encoding="ascii").splitlines()))


def read_talks(lines: Iterable[str]) -> list[Fact]:
    """Read the source form: `[topic]`, an answer at the margin, under it `  + ` trained and `  - ` held-out questions.

    Raises ValueError with the line's number for a line that is none of these or stands where it cannot.

    >>> read_talks(["[weather]", "Ice is frozen water.", "  + What is ice?"])[0].trained
    ['What is ice?']
    """
    found: list[Fact] = []
    topic = ""
    for number, line in enumerate(lines, start=1):
        mark, text = line[:4], line[4:].strip()
        if not line.strip() or line.startswith("#"):
            continue
        if line.startswith("[") and line.endswith("]"):
            topic = line[1:-1]
        elif topic and not line[0].isspace():
            found.append(Fact(topic, line.rstrip()))
        elif mark in ("  + ", "  - ") and text and found and found[-1].topic == topic:
            (found[-1].trained if mark == "  + " else found[-1].held_out).append(text)
        else:
            raise ValueError(f"line {number}: {line!r} is not a topic, an answer or a question under an answer")
    return found
