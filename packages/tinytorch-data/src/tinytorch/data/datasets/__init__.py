"""Data to learn from: shipped with the package, or downloaded once and kept."""

from .tinytalks import TinyTalks, tinytalks

__all__ = ["TinyTalks", "tinytalks"]
