"""Stage 16: how fast, how large, how good: measured so that others can believe it."""

from .benchmark import Benchmark, compare
from .clock import Clock, SimulatedClock, WallClock
from .competition import Competition, Place, rank
from .equality import ResultsDifferError
from .estimates import Estimate, Outliers, bootstrap, outliers, percentile, percentile_bound
from .machine import machine
from .memory import peak_memory
from .page import write_page
from .pareto import Point, pareto_front, plot_pareto
from .process import Worker, WorkerError
from .records import load, save
from .result import Result, Series
from .scenarios import highest_rate, multiple_stream, offline, server, single_stream
from .served import ScenarioResult
from .submission import Quality, Submission, load_submission, save_submission
from .verdict import Change, Verdict, judge

__version__ = "0.3.0"

__all__ = [
    "Benchmark", "Change", "Clock", "Competition", "Estimate", "Outliers", "Place", "Point", "Quality", "Result",
    "ResultsDifferError", "ScenarioResult", "Series", "SimulatedClock", "Submission", "Verdict", "WallClock", "Worker",
    "WorkerError", "bootstrap", "compare", "highest_rate", "judge", "load", "load_submission", "machine",
    "multiple_stream", "offline", "outliers", "pareto_front", "peak_memory", "percentile", "percentile_bound",
    "plot_pareto", "rank", "save", "save_submission", "server", "single_stream", "write_page",
]  # fmt: skip
