"""Every test starts with differentiation switched on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tinytorch.autograd import disable_autograd, enable_autograd


@pytest.fixture(autouse=True)
def differentiation() -> Iterator[None]:
    enable_autograd()
    yield
    disable_autograd()
