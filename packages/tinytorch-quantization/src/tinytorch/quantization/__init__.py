"""Stage 14: weights and activations of a few bits."""

from tinytorch.acceleration import on_enable

from .calibrate import calibrate
from .codes import Codes, dequantize_rows
from .convolution import QuantizedConv2d
from .embedding import QuantizedEmbedding, quantized_embedding
from .errors import QuantizationError
from .fake import fake_quantize, fake_rows
from .gguf import GGUFFile, load_gguf, read_gguf, save_gguf, write_gguf
from .gptq import gptq
from .half import Half
from .integers import integer_conv2d, integer_linear
from .linear import QuantizedLinear, quantized_linear
from .module import IntegerModule, QuantizedModule
from .observers import MinMaxObserver, MSEObserver, Observer, PercentileObserver
from .packing import as_bfloat16, from_bfloat16, pack, unpack
from .qat import QATConv2d, QATEmbedding, QATLinear, QATModule, convert, prepare_qat
from .quantize import dequantize, quantize
from .scheme import Scheme

__version__ = "0.3.0"


def _import_kernels() -> None:
    from . import kernels  # noqa: F401


on_enable(_import_kernels)

__all__ = [
    "Codes", "GGUFFile", "Half", "IntegerModule", "MSEObserver", "MinMaxObserver", "Observer", "PercentileObserver",
    "QATConv2d", "QATEmbedding", "QATLinear", "QATModule", "QuantizationError", "QuantizedConv2d",
    "QuantizedEmbedding", "QuantizedLinear", "QuantizedModule", "Scheme", "as_bfloat16", "calibrate", "convert",
    "dequantize", "dequantize_rows", "fake_quantize", "fake_rows", "from_bfloat16", "gptq", "integer_conv2d",
    "integer_linear", "load_gguf", "pack", "prepare_qat", "quantize", "quantized_embedding", "quantized_linear",
    "read_gguf", "save_gguf", "unpack", "write_gguf",
]  # fmt: skip
