"""Every test starts with differentiation switched on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tinytorch.autograd import disable_autograd, enable_autograd, is_grad_enabled


@pytest.fixture(autouse=True)
def differentiation() -> Iterator[None]:
    before = is_grad_enabled()
    enable_autograd()
    yield
    if before:
        enable_autograd()
    else:
        disable_autograd()
