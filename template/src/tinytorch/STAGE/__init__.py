"""What the stage adds, in one line."""

__version__ = "0.1.0"
