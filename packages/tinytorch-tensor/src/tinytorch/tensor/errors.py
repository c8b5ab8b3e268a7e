"""Errors that callers may want to catch, each also the built-in error that Python programmers expect."""


class TinyTorchError(Exception):
    """The base of every error that this project defines, also in later stages.

    >>> from tinytorch.tensor import Tensor
    >>> try:
    ...     Tensor([[1.0, 2.0]]) @ Tensor([1.0])
    ... except TinyTorchError as error:
    ...     print(type(error).__name__)
    ShapeError
    """


class ShapeError(TinyTorchError, ValueError):
    """Sizes do not fit each other, or the operation."""


class DTypeError(TinyTorchError, TypeError):
    """The operation is not defined for this kind of number."""


class FileFormatError(TinyTorchError, ValueError):
    """A file is damaged, of another format, or does not fit what reads it."""
