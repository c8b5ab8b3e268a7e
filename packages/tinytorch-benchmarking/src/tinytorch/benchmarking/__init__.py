"""Stage 16: how fast, how large, how good: measured so that others can believe it."""

from .benchmark import Benchmark, compare
from .clock import Clock, SimulatedClock, WallClock
from .equality import ResultsDifferError
from .estimates import Estimate, Outliers, bootstrap, outliers, percentile, percentile_bound
from .machine import machine
from .memory import peak_memory
from .process import Worker, WorkerError
from .records import load, save
from .result import Result, Series
from .scenarios import highest_rate, multiple_stream, offline, server, single_stream
from .served import ScenarioResult
from .verdict import Change, Verdict, judge

__version__ = "0.3.0"

__all__ = [
    "Benchmark", "Change", "Clock", "Estimate", "Outliers", "Result", "ResultsDifferError", "ScenarioResult", "Series",
    "SimulatedClock", "Verdict", "WallClock", "Worker", "WorkerError", "bootstrap", "compare", "highest_rate", "judge",
    "load", "machine", "multiple_stream", "offline", "outliers", "peak_memory", "percentile", "percentile_bound",
    "save", "server", "single_stream",
]  # fmt: skip
