"""Scaled dot-product and multi-head attention, masks and rotary positions."""

__version__ = "0.1.0"
