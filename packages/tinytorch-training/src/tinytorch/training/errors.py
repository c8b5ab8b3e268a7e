"""The error of this stage, below `TinyTorchError`."""

from tinytorch.tensor import FileFormatError


class CheckpointError(FileFormatError):
    """A checkpoint that is damaged, of another format, or of another run."""
