"""Every primitive of every stage says how gradients pass back through it, or why not, and stands on the site."""

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # stages.py belongs to no package
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "docs"))  # nor does primitives.py
import primitives
import stages

from tinytorch.autograd import defconst, refusals, rules
from tinytorch.tensor import primitive, registry

every_stage = pytest.mark.parametrize("stage", stages.order())


@every_stage
def test_every_primitive_has_a_rule_or_a_declared_reason(stage: str) -> None:
    assert [each.name for each in primitives.declared(stage) if not primitives.gradient(each)] == []


@every_stage
def test_a_primitive_has_one_of_the_two(stage: str) -> None:
    for each in primitives.declared(stage):
        assert (each in rules) != (each in refusals), each.name


def test_a_primitive_about_which_nothing_is_said_is_found() -> None:
    @primitive
    def mystery(x: Any, /) -> Any:
        return x

    assert primitives.gradient(mystery) == ""
    defconst(mystery, reason="it is a test")
    assert primitives.gradient(mystery) == "none: it is a test"


def test_the_page_shows_every_primitive_and_what_it_computes() -> None:
    page = primitives.page(stages.order())
    own = [each for name, each in registry.items() if name.startswith("tinytorch.")]
    assert len(own) > 80
    for each in own:
        assert f"<code>{each.name}(" in page
        assert primitives.summary(each), each.name
    assert "<code>abs(x, /)</code></autoref> | \\|x\\| | a rule for `x` |" in page
    assert "<code>matmul(x, y, /)</code></autoref> | The matrix product over the last two axes" in page
    assert "| none: the result is a position |" in page
    assert "| refused: it overwrites what other rules may need" in page
    assert page.count("\n## ") == len([stage for stage in stages.order() if primitives.declared(stage)])
