"""Importing the stage enables autograd; tests of another stage, run in the same process, may have switched it off."""

from __future__ import annotations

import pytest

from tinytorch.autograd import enable_autograd


@pytest.fixture(autouse=True)
def differentiation() -> None:
    enable_autograd()
