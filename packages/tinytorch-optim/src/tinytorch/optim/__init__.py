"""Optimizers, learning-rate schedules and gradient clipping."""

__version__ = "0.1.0"
