"""The error of what cannot be differentiated."""

from __future__ import annotations

from tinytorch.tensor import TinyTorchError


class GraphError(TinyTorchError, RuntimeError):
    """What was recorded does not lead to gradients: there is nothing, it was freed, or it was changed in place.

    >>> issubclass(GraphError, TinyTorchError), issubclass(GraphError, RuntimeError)
    (True, True)
    """
