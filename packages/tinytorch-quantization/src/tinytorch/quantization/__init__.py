"""Stage 14: weights and activations of a few bits."""

from .embedding import QuantizedEmbedding, quantized_embedding
from .errors import QuantizationError
from .linear import QuantizedLinear, quantized_linear
from .module import QuantizedModule
from .packing import pack, unpack
from .quantize import dequantize, quantize
from .scheme import Codes, Scheme, dequantize_rows

__version__ = "0.3.0"

__all__ = [
    "Codes", "QuantizationError", "QuantizedEmbedding", "QuantizedLinear", "QuantizedModule", "Scheme", "dequantize",
    "dequantize_rows", "pack", "quantize", "quantized_embedding", "quantized_linear", "unpack",
]  # fmt: skip
