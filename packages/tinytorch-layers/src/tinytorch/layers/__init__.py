"""Stage 3: networks made of modules. Importing this enables autograd, for parameters need gradients."""

from tinytorch.autograd import enable_autograd

from . import functional, init
from .activations import GELU, LeakyReLU, LogSoftmax, ReLU, Sigmoid, SiLU, Softmax, Tanh
from .basic import Dropout, Embedding, Flatten, Identity, Linear
from .containers import ModuleList, Sequential
from .hooks import HookHandle
from .losses import CrossEntropyLoss
from .module import Module
from .norms import LayerNorm, RMSNorm
from .parameter import Parameter

__version__ = "0.1.0"

__all__ = [
    "GELU", "CrossEntropyLoss", "Dropout", "Embedding", "Flatten", "HookHandle", "Identity", "LayerNorm", "LeakyReLU",
    "Linear", "LogSoftmax", "Module", "ModuleList", "Parameter", "RMSNorm", "ReLU", "Sequential", "SiLU", "Sigmoid",
    "Softmax", "Tanh", "functional", "init",
]  # fmt: skip

enable_autograd()
