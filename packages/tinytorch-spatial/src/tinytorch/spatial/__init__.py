"""Stage 7: convolution, pooling and batch norm, for images."""

from .average_pooling import adaptive_avg_pool2d, avg_pool2d
from .batch_norm import BatchNorm2d, batch_norm
from .convolution import conv2d
from .max_pooling import max_pool2d
from .modules import AdaptiveAvgPool2d, AvgPool2d, Conv2d, MaxPool2d

__version__ = "0.3.0"

__all__ = [
    "AdaptiveAvgPool2d", "AvgPool2d", "BatchNorm2d", "Conv2d", "MaxPool2d", "adaptive_avg_pool2d", "avg_pool2d",
    "batch_norm", "conv2d", "max_pool2d",
]  # fmt: skip
