"""Every Python example in the README and the chapters runs, in the order in which it is read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
EXAMPLE = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_examples_run(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    names: dict[str, object] = {"__name__": document.stem}  # the module of what an example declares
    for example in EXAMPLE.finditer(text):
        line = text[: example.start(1)].count("\n")
        exec(compile("\n" * line + example[1], str(document), "exec"), names)


def test_there_are_examples() -> None:
    assert sum(len(EXAMPLE.findall(document.read_text(encoding="utf-8"))) for document in DOCUMENTS) >= 4
