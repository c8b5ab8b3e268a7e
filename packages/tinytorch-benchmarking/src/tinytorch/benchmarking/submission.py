"""An entry to a competition: what a model reaches, how fast and how large it is, in a file that can be checked."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tinytorch.tensor import FileFormatError, check_int

from . import documents
from .checks import check_number
from .estimates import Estimate
from .records import decoded, encoded
from .result import Result

__all__ = ["Quality", "Submission", "load_submission", "save_submission"]

SHORTEST_KEY = 16  # bytes


@dataclass(frozen=True)
class Quality:
    """How good the answers are: the `value` of a `metric`, such as accuracy or perplexity, over so many `samples`."""

    metric: str
    value: float
    samples: int
    higher_is_better: bool = True


@dataclass(frozen=True)
class Submission:
    """What a team hands in to a `competition`.

    `result` is a measured comparison, and `function` the name in it of what is handed in; its baseline is the
    competition's reference, so that both ran in turn on one machine. `parameters` are counted, `size` is the bytes of
    the weights. Raises KeyError for a function that was not measured, ValueError when its time was not.
    """

    competition: str
    title: str
    team: str
    quality: Quality
    result: Result
    function: str
    parameters: int
    size: int
    description: str = ""

    def __post_init__(self) -> None:
        owner = f"submission {self.title!r}"
        for name in ("parameters", "size"):
            check_int(owner, name, getattr(self, name))
        check_int(owner, "samples", self.quality.samples, minimum=1)
        check_number(owner, self.quality.metric, self.quality.value, low=-float("inf"))
        if self.function not in self.result.series:
            measured = ", ".join(self.result.series)
            raise KeyError(f"{owner}: {self.function!r} was not measured; the result has {measured}")
        if "time" not in self.result.quantities:
            raise ValueError(f"{owner}: the result has no times; measure with turns=2 or more")

    @property
    def latency(self) -> float:
        """The median time in seconds."""
        return self.result.series[self.function].median()

    @property
    def memory(self) -> float | None:
        """The median peak of memory in bytes; None where it was not measured."""
        return self.result.series[self.function].median("memory") if "memory" in self.result.quantities else None

    @property
    def speedup(self) -> Estimate:
        """How many times as fast as the reference, with its interval."""
        ratio = self.result.ratio(self.function)
        return Estimate(1 / ratio.value, 1 / ratio.high, 1 / ratio.low)


def save_submission(path: str | os.PathLike[str], submission: Submission, key: bytes | None = None) -> None:
    """Write a submission with a seal over its content.

    Without a key the seal is a SHA-256 digest: it shows accidents. With the `key` (16 bytes or more) of the machine
    that measures for a class it is an HMAC (RFC 2104), which only those who hold the key can make.
    Raises ValueError for a shorter key, FileFormatError for a name that cannot stand in a file.
    """
    names = ("competition", "title", "team", "description", "parameters", "size", "function")
    document = {"format": "tinytorch-submission", "version": 1} | {name: getattr(submission, name) for name in names}
    document |= {"quality": vars(submission.quality), "result": encoded(submission.result)}
    document["seal"] = {"kind": "sha256" if key is None else "hmac-sha256", "digest": _digest(document, key)}
    documents.write(path, document, "submission")


def load_submission(path: str | os.PathLike[str], key: bytes | None = None) -> Submission:
    """The submission in a file, after its schema, its seal and its figures were checked.

    With `key` only what was sealed with that key is taken; a file that is sealed with a key is not taken without it.
    Raises FileFormatError for everything else, and for figures that are not those of the turns in the file.
    """
    document = documents.read(path, "submission")
    seal = document.pop("seal")
    if seal["kind"] != ("sha256" if key is None else "hmac-sha256"):
        problem = "with a key, which is needed to read it" if key is None else "without the key that is asked for"
        raise FileFormatError(f"{path}: the submission is sealed {problem}")
    if not hmac.compare_digest(seal["digest"], _digest(document, key)):
        raise FileFormatError(f"{path}: the content is not what was sealed; it was changed after it was measured")
    try:
        return _decoded(document, str(path))
    except (KeyError, ValueError) as error:
        message = str(error.args[0]) if isinstance(error, KeyError) else str(error)
        raise FileFormatError(message if message.startswith(str(path)) else f"{path}: {message}") from None


def _decoded(document: Mapping[str, Any], owner: str) -> Submission:
    names = ("competition", "title", "team", "description", "parameters", "size", "function")
    fields = {name: document[name] for name in names}
    return Submission(quality=Quality(**document["quality"]), result=decoded(document["result"], owner), **fields)


def _digest(document: Mapping[str, Any], key: bytes | None) -> str:
    """Over the content in one spelling: keys in order, no spaces, ASCII."""
    content = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")
    if key is None:
        return hashlib.sha256(content).hexdigest()
    if len(key) < SHORTEST_KEY:
        raise ValueError(f"submission: the key has {len(key)} bytes; at least {SHORTEST_KEY} are needed")
    return hmac.new(key, content, hashlib.sha256).hexdigest()
