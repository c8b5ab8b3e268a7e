"""Stage 1: n-dimensional arrays with operations that can be observed."""

from typing import Any

from . import methods as _methods  # noqa: F401  puts methods and operators on `Tensor`
from . import numpy_protocol as _numpy_protocol  # noqa: F401  and answers NumPy's functions
from .allocator import keep_freed_memory
from .checks import check_int
from .creation import *  # noqa: F403
from .creation import __all__ as _creation
from .dispatch import (
    KERNEL,
    OBSERVE,
    RECORD,
    Handler,
    Primitive,
    handlers,
    handling,
    kernels,
    pop,
    primitive,
    push,
    registry,
    substitute,
)  # fmt: skip
from .dtypes import Array, default_dtype, set_default_dtype
from .errors import DTypeError, FileFormatError, ShapeError, TinyTorchError
from .extension import announce, extend, retract
from .files import replacing
from .mutation import clock, note_write, written_since
from .ops import *  # noqa: F403
from .ops import __all__ as _operations
from .substitution import Kernels
from .tensor import Tensor, array_of
from .words import NAMES, answer_arguments

__version__ = "0.3.0"

__all__ = [
    "KERNEL", "OBSERVE", "RECORD", "Array", "DTypeError", "FileFormatError", "Handler", "Kernels", "Primitive",
    "ShapeError", "Tensor", "TinyTorchError", "announce", "array_of", "check_int", "clock", "default_dtype", "extend",
    "handlers", "handling", "keep_freed_memory", "kernels", "note_write", "pop", "primitive", "push", "registry",
    "replacing", "retract", "set_default_dtype", "substitute", "written_since",
    *_creation,
    *_operations,
]  # fmt: skip

answer_arguments(globals(), _creation)


def __getattr__(name: str) -> Any:
    advice = NAMES.get(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}" + (f": {advice}" if advice else ""))
