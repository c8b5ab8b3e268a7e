"""The error of what cannot be differentiated."""

from __future__ import annotations

from tinytorch.tensor import TinyTorchError


class GraphError(TinyTorchError, RuntimeError):
    """What was recorded does not lead to gradients: there is nothing, it was freed, or it was changed in place.

    >>> from tinytorch.autograd import enable_autograd
    >>> from tinytorch.tensor import Tensor
    >>> enable_autograd()
    >>> loss = (Tensor([1.0, 2.0], requires_grad=True) ** 2).sum()
    >>> loss.backward()
    >>> try:
    ...     loss.backward()
    ... except GraphError as error:
    ...     print(error)  # doctest: +ELLIPSIS
    backward: what sum kept was freed by an earlier backward pass; pass retain_graph=True ...
    """
