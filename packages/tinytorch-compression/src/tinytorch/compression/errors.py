"""Errors of this stage, below `TinyTorchError`."""

from tinytorch.tensor import TinyTorchError


class CompressionError(TinyTorchError, ValueError):
    """A model that cannot be made smaller in the way that was asked for; it is left as it was."""


class AdapterError(TinyTorchError, ValueError):
    """Adapters that do not fit the model, are there already, or are not there; nothing was changed."""
