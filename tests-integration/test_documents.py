"""Every Python example in the README and the chapters runs, in order, and prints what stands below it."""

from __future__ import annotations

import re
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
EXAMPLE = re.compile(  # and the block of text that follows at once, which shows what it prints
    r"^```python\n(?P<code>.*?)^```$(?:\n\n```text\n(?P<printed>.*?)^```$)?", re.DOTALL | re.MULTILINE
)


def run(document: Path) -> dict[str, Any]:
    """What the examples of a document leave behind, by name."""
    text = document.read_text(encoding="utf-8")
    names: dict[str, Any] = {"__name__": document.stem}  # the module of what an example declares
    for example in EXAMPLE.finditer(text):
        line = text[: example.start("code")].count("\n")
        with redirect_stdout(StringIO()) as printed:
            exec(compile("\n" * line + example["code"], str(document), "exec"), names)
        if example["printed"] is not None:
            assert printed.getvalue() == example["printed"], f"{document}:{line}"
    return names


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_examples_run(document: Path) -> None:
    run(document)


def test_the_picture_of_the_perceptron_is_the_one_that_its_example_draws() -> None:
    names = run(ROOT / "docs" / "chapters" / "2-autograd.md")
    picture = ROOT / "docs" / "images" / "perceptron.svg"
    assert picture.read_text(encoding="utf-8") == names["perceptron"].svg() + "\n"


def test_there_are_examples() -> None:
    assert sum(len(EXAMPLE.findall(document.read_text(encoding="utf-8"))) for document in DOCUMENTS) >= 4
