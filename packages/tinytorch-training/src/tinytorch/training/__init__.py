"""A trainer with metrics, live progress and checkpoints that resume bit for bit."""

__version__ = "0.1.0"
