"""The site is not built while a public name has no docstring: what that check looks at, and that it finds."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "docs"))  # names.py belongs to no package
import names


def test_public_modules_are_found_below_their_package() -> None:
    assert list(names.modules("tinytorch.layers")) == [
        "tinytorch.layers", "tinytorch.layers.checks", "tinytorch.layers.functional", "tinytorch.layers.init",
    ]  # fmt: skip


def test_a_name_that_hides_its_module_is_read_within_it() -> None:
    assert names.defined("tinytorch.layers.functional", "linear") == "tinytorch.layers.functional.linear.linear"
    assert names.defined("tinytorch.layers.functional", "silu") == "tinytorch.layers.functional.silu"
    assert names.defined("tinytorch.layers", "functional") == "tinytorch.layers.functional"


def test_names_without_words_are_listed() -> None:
    words = {"tinytorch.layers.checks.row": "A row."}
    assert names.undocumented("tinytorch.layers.checks", lambda path: words.get(path, "")) == [
        f"tinytorch.layers.checks.{name}" for name in ("extremes", "non_negative", "positive", "probability", "real")
    ]


def test_a_public_module_says_what_is_public() -> None:
    with pytest.raises(ValueError, match="__all__"):
        names.exported("tinytorch.layers.hidden")
