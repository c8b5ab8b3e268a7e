"""What workers of the tests run."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np


def constant(value: float) -> Callable[[], Any]:
    return lambda: {"value": np.full(3, value), "text": ("done", None)}


def allocating(megabytes: int) -> Callable[[], Any]:
    def step() -> None:
        np.ones(megabytes * 2**17).sum()

    return step


def printing() -> Callable[[], Any]:
    return lambda: print('{"seconds": 1}')


def dying() -> Callable[[], Any]:
    return lambda: os._exit(3)


def failing() -> Callable[[], Any]:
    raise ValueError("this step cannot be made")


def threads() -> Callable[[], Any]:
    return lambda: os.environ["OPENBLAS_NUM_THREADS"]
