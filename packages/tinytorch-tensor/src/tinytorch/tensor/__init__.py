"""Stage 1: n-dimensional arrays whose operations can be watched."""

from . import methods as _methods  # noqa: F401  puts methods and operators on `Tensor`
from . import numpy_table as _numpy_table  # noqa: F401  says which of them stand for NumPy's functions
from .checks import check_int
from .creation import (
    arange,
    default_generator,
    empty,
    empty_like,
    eye,
    from_dlpack,
    full,
    full_like,
    generator_for,
    linspace,
    manual_seed,
    ones,
    ones_like,
    rand,
    rand_like,
    randint,
    randn,
    randn_like,
    randperm,
    zeros,
    zeros_like,
)
from .dispatch import KERNEL, OBSERVE, RECORD, Handler, Primitive, handlers, handling, pop, primitive, push, registry
from .dtypes import Array, default_dtype, set_default_dtype
from .errors import DTypeError, FileFormatError, ShapeError, TinyTorchError
from .extension import announce, extend, retract
from .files import replacing
from .memory import keep_freed_memory
from .mutation import clock, note_write, written_since
from .ops import *  # noqa: F403
from .ops import __all__ as _operations
from .tensor import Tensor, array_of

__version__ = "0.3.0"

__all__ = [
    "KERNEL", "OBSERVE", "RECORD", "Array", "DTypeError", "FileFormatError", "Handler", "Primitive", "ShapeError",
    "Tensor", "TinyTorchError", "announce", "arange", "array_of", "check_int", "clock", "default_dtype",
    "default_generator", "empty", "empty_like", "extend", "eye", "from_dlpack", "full", "full_like", "generator_for",
    "handlers", "handling", "keep_freed_memory", "linspace", "manual_seed", "note_write", "ones", "ones_like", "pop",
    "primitive", "push", "rand", "rand_like", "randint", "randn", "randn_like", "randperm", "registry", "replacing",
    "retract", "set_default_dtype", "written_since", "zeros", "zeros_like",
    *_operations,
]  # fmt: skip
