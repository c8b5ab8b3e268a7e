"""Stage 12: time, FLOPs and memory of every primitive and module."""

from . import formulas  # noqa: F401
from .events import Event, Span
from .flops import flops_of, per_gradient
from .grouping import Row
from .machine import Machine
from .measures import Latency
from .profiler import Profiler
from .shaped import Shaped
from .summary import Layer, Summary, summary

__version__ = "0.3.0"

__all__ = [
    "Event", "Latency", "Layer", "Machine", "Profiler", "Row", "Shaped", "Span", "Summary", "flops_of", "per_gradient",
    "summary",
]  # fmt: skip
