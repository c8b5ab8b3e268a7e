"""Errors of this stage."""

from tinytorch.tensor import TinyTorchError


class AccelerationError(TinyTorchError, RuntimeError):
    """Kernels cannot be compiled here."""
