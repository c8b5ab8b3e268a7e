"""Functions of tensors compiled into one pass over the data."""

from .fused import Fused, fuse
from .showing import Gradient, Trace

__all__ = ["Fused", "Gradient", "Trace", "fuse"]
