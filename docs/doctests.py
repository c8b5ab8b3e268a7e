"""Shows the examples of docstrings as code, wherever in the docstring they stand."""

import re
from typing import Any

from griffe import Extension, Object

EXAMPLE = re.compile(r"^>>> .*\n(?:.+\n?)*", re.MULTILINE)  # up to the next empty line, as doctest reads it


def fence(text: str) -> str:
    return EXAMPLE.sub(lambda found: f"\n```pycon\n{found[0].rstrip()}\n```\n", text)


class Doctests(Extension):
    """Fences every run of `>>>` lines with what they print."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        if obj.docstring:
            obj.docstring.value = fence(obj.docstring.value)
