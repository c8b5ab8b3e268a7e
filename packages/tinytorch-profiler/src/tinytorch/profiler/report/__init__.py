"""The report: one HTML page that holds all it needs."""

from .page import page

__all__ = ["page"]
