"""Errors of this stage that callers may want to catch."""

from tinytorch.tensor import TinyTorchError


class DownloadError(TinyTorchError, OSError):
    """No mirror gave a file; the message says what each one did and where the file can be put by hand."""
