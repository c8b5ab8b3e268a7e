"""FLOP formulas of the primitives of every stage; those of later stages by name."""

from . import elementwise, images, products, updates  # noqa: F401
