"""Errors of this stage, below `TinyTorchError`."""

from tinytorch.tensor import TinyTorchError


class StateError(TinyTorchError, ValueError):
    """Parameters and buffers by name that do not fit the module: names, shapes or dtypes."""
