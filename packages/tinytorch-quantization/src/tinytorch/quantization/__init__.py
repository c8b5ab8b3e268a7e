"""Stage 14: weights and activations of a few bits."""

from .calibrate import calibrate
from .codes import Codes, dequantize_rows
from .convolution import QuantizedConv2d
from .embedding import QuantizedEmbedding, quantized_embedding
from .errors import QuantizationError
from .half import Half
from .integers import integer_conv2d, integer_linear
from .linear import QuantizedLinear, quantized_linear
from .module import IntegerModule, QuantizedModule
from .observers import MinMaxObserver, MSEObserver, Observer, PercentileObserver
from .packing import as_bfloat16, from_bfloat16, pack, unpack
from .quantize import dequantize, quantize
from .scheme import Scheme

__version__ = "0.3.0"

__all__ = [
    "Codes", "Half", "IntegerModule", "MSEObserver", "MinMaxObserver", "Observer", "PercentileObserver",
    "QuantizationError", "QuantizedConv2d", "QuantizedEmbedding", "QuantizedLinear", "QuantizedModule", "Scheme",
    "as_bfloat16", "calibrate", "dequantize", "dequantize_rows", "from_bfloat16", "integer_conv2d", "integer_linear",
    "pack", "quantize", "quantized_embedding", "quantized_linear", "unpack",
]  # fmt: skip
