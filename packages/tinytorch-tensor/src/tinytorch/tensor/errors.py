"""Errors that callers may want to catch, each also the built-in error that Python programmers expect.

    TinyTorchError
    ├── ShapeError (ValueError)        sizes that do not fit each other
    ├── DTypeError (TypeError)         a kind of number that the operation is not defined for
    └── FileFormatError (ValueError)   a file that is damaged, foreign, or does not fit what reads it

Later stages add errors of their own below `TinyTorchError`.
"""


class TinyTorchError(Exception):
    """The base of every error that this project defines.

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
