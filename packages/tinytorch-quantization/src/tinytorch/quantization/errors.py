"""What quantization refuses."""

from tinytorch.tensor import TinyTorchError


class QuantizationError(TinyTorchError, ValueError):
    """A model, a layer or numbers cannot be quantized as asked."""
