"""Stage 3: networks made of modules. Importing this enables autograd, because parameters need gradients."""

from tinytorch.autograd import HookHandle, enable_autograd

from . import checks, functional, init
from .activations import GELU, LeakyReLU, LogSoftmax, ReLU, Sigmoid, SiLU, Softmax, Tanh
from .basic import Dropout, Embedding, Flatten, Identity, Linear
from .changes import changes
from .containers import ModuleDict, ModuleList, ParameterDict, ParameterList, Sequential
from .errors import StateError
from .files import load, load_metadata, load_tensors, save, save_tensors
from .losses import BCEWithLogitsLoss, BinaryCrossEntropyLoss, CrossEntropyLoss, HuberLoss, L1Loss, MSELoss, NLLLoss
from .lowering import lower, lowers
from .module import Module
from .norms import LayerNorm, RMSNorm
from .parameter import Parameter
from .state import Mismatch
from .tensor_file import TensorFile

__version__ = "0.3.0"

__all__ = [
    "BCEWithLogitsLoss", "BinaryCrossEntropyLoss", "CrossEntropyLoss", "Dropout", "Embedding", "Flatten", "GELU",
    "HookHandle", "HuberLoss", "Identity", "L1Loss", "LayerNorm", "LeakyReLU", "Linear", "LogSoftmax", "MSELoss",
    "Mismatch", "Module", "ModuleDict", "ModuleList", "NLLLoss", "Parameter", "ParameterDict", "ParameterList",
    "RMSNorm", "ReLU", "Sequential", "SiLU", "Sigmoid", "Softmax", "StateError", "Tanh", "TensorFile", "changes",
    "checks", "functional", "init", "load", "load_metadata", "load_tensors", "lower", "lowers", "save", "save_tensors",
]  # fmt: skip

enable_autograd()
