"""FLOP formulas of the primitives of every stage; those of later stages by name."""

from . import elementwise, images, products  # noqa: F401
