"""The error of what cannot be differentiated."""

from __future__ import annotations

from tinytorch.tensor import TinyTorchError


class GraphError(TinyTorchError, RuntimeError):
    """What was recorded does not lead to gradients: there is nothing, it was freed, or it was changed in place.

    >>> from tinytorch.tensor import Tensor
    >>> from tinytorch.autograd import enable_autograd; enable_autograd()
    >>> try:
    ...     Tensor([1.0, 2.0]).backward()
    ... except GraphError as error:
    ...     print(type(error).__mro__[1:3])
    (<class 'tinytorch.tensor.errors.TinyTorchError'>, <class 'RuntimeError'>)
    """
