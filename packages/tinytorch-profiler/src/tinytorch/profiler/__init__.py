"""Time, FLOPs and memory of every primitive and module."""

__version__ = "0.1.0"
