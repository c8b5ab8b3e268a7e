"""Reverse-mode differentiation of every TinyTorch primitive, to any order."""

__version__ = "0.1.0"
