"""Stage 16: how fast, how large, how good: measured so that others can believe it."""

from .benchmark import Benchmark, compare
from .clock import Clock, SimulatedClock, WallClock
from .equality import ResultsDifferError
from .estimates import Estimate, Outliers, bootstrap, outliers, percentile
from .machine import machine
from .memory import peak_memory
from .process import Worker, WorkerError
from .records import load, save
from .result import Result, Series

__version__ = "0.3.0"

__all__ = [
    "Benchmark", "Clock", "Estimate", "Outliers", "Result", "ResultsDifferError", "Series", "SimulatedClock",
    "WallClock", "Worker", "WorkerError", "bootstrap", "compare", "load", "machine", "outliers", "peak_memory",
    "percentile", "save",
]  # fmt: skip
