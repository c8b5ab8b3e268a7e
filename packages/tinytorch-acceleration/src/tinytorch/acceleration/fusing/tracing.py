"""Tracing: the function runs once on stand-ins, and a handler notes every primitive instead of computing it."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn

import numpy as np

from tinytorch.autograd import enable_grad, rules
from tinytorch.autograd.modes import modes
from tinytorch.tensor import OBSERVE, Primitive, Tensor, handling
from tinytorch.tensor.tensor import wrap

from .elements import ELEMENTWISE, check_dtype
from .graph import Axis, Dims, Refusal, SizesRead, Value, unify


class Traced(Tensor):
    """A stand-in for a tensor: its numbers mean nothing, and reading them is refused."""

    __slots__ = ("tracer", "value")
    value: Value
    tracer: Tracer

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes, which in a trace that holds for all sizes may not be read."""
        if not self.tracer.sizes_known:
            raise SizesRead
        return self._data.shape

    @property
    def size(self) -> int:
        """The number of elements."""
        return int(np.prod(self.shape))

    @property
    def nbytes(self) -> int:
        """The bytes that the elements take."""
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def detach(self) -> Tensor:
        """The same value, through which no gradient passes."""
        return self.tracer.note("same", (self,), self.value.dims, self._data)

    def __bool__(self) -> bool:
        if self.tracer.in_rule and self.value.operation == "any":
            return True  # a rule that asks whether any element is special treats them by `where` if so: right always
        self._refuse()

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise Refusal("it reads the numbers in a tensor, as a Python branch (`if x.sum() > 0`), item() and float() do")

    data = property(_refuse, _refuse)
    __float__ = __int__ = __index__ = __iter__ = __contains__ = __array__ = __dlpack__ = _refuse
    numpy = item = tolist = __copy__ = __deepcopy__ = __format__ = _refuse

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        read = {np.shape: "shape", np.size: "size", np.ndim: "ndim"}.get(function)
        if read and len(args) == 1 and not kwargs:
            return getattr(args[0], read)
        fill = {np.zeros_like: 0.0, np.ones_like: 1.0}.get(function)
        if fill is not None and len(args) == 1 and not kwargs:
            return self.tracer.note("constant", (fill,), args[0].value.dims, args[0]._data)
        return super().__array_function__(function, types, args, kwargs)  # type: ignore[misc]


class Tracer:
    """The handler: notes what is computed of stand-ins, in the thread that traces, and lets everything else pass."""

    level = OBSERVE

    def __init__(self, sizes_known: bool, rewritten: Mapping[str, Callable[..., Any]]) -> None:
        self.sizes_known, self.rewritten = sizes_known, rewritten
        self.in_rule = False
        self.axis_of: dict[int, Axis] = {}  # by size, while rules run: every axis then has a size of its own
        self.thread = threading.get_ident()
        self.next_number = itertools.count().__next__
        self.values: list[Value] = []

    def __call__(self, next: Any, primitive: Primitive, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
        traced = any(isinstance(arg, Traced) for arg in args)
        if threading.get_ident() != self.thread or not (traced or _among(params)):
            return next(primitive, args, params)
        if not traced:
            raise Refusal(f"a tensor is a parameter of {primitive.name}")
        out = self.apply(primitive, args, params)
        if not modes.get()[-1]:
            out = out.detach()
        return (out, None) if primitive.fused else out

    def apply(self, primitive: Primitive, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
        """The stand-in for what `primitive` computes of these."""
        for arg in args:
            _check_input(arg)
        rewritten = self.rewritten.get(primitive.name)
        if rewritten is not None:
            return rewritten(self, primitive, args, params)
        if primitive.name not in ELEMENTWISE:
            rule = rules.get(primitive)
            if rule is not None and rule.composition is not None and primitive.module.startswith("tinytorch.layers"):
                return rule.composition(*args, **params)
            raise Refusal(f"{primitive.name} is neither elementwise nor a sum, mean or maximum")
        example = self.example(primitive, args, params)
        check_dtype(primitive.name, [arg.dtype if isinstance(arg, Traced) else arg for arg in args])
        dims = unify(*(arg.value.dims for arg in args if isinstance(arg, Traced)))
        return self.note(primitive.name, args, dims, example, primitive, params)

    def example(self, primitive: Primitive, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
        """What `primitive` makes of arrays of ones: its shape and dtype are those that the result has."""
        given = tuple(wrap(arg._data) if isinstance(arg, Traced) else arg for arg in args)
        with np.errstate(all="ignore"):
            out = primitive.run(primitive, given, params)
        return (out[0] if primitive.fused else out)._data

    def note(
        self, operation: str, inputs: tuple[Any, ...], dims: Dims, example: Any, primitive: Primitive | None = None,
        params: dict[str, Any] | None = None, **more: Any,
    ) -> Traced:  # fmt: skip
        """A new value, and the stand-in for it; `example` has its shape and dtype."""
        plain = tuple(
            each.value if isinstance(each, Traced) else each.item() if isinstance(each, np.generic) else each
            for each in inputs
        )
        if self.in_rule:
            dims = self.place(example.shape)
        value = Value(operation, plain, dims, example.dtype, self.next_number(), dict(params or {}), primitive, **more)
        self.values.append(value)
        return self.stand_in(value, example.shape)

    def place(self, shape: tuple[int, ...]) -> Dims:
        """The axes that have these sizes, while every axis has a size of its own."""
        return tuple(None if size == 1 else self.axis_of[size] for size in shape)

    def stand_in(self, value: Value, shape: tuple[int, ...]) -> Traced:
        """A tensor of this shape that stands for `value`; its memory is one number."""
        out = Traced.__new__(Traced)
        out._data = np.broadcast_to(np.ones((), value.dtype), shape)
        out._grad = out.node = out.hooks = None
        out.requires_grad = False
        out.value, out.tracer = value, self
        return out

    @contextmanager
    def tracing(self) -> Iterator[None]:
        """Trace what this thread computes of stand-ins."""
        with handling(self), enable_grad():
            yield

    @contextmanager
    def rules(self, sizes: dict[Axis, int]) -> Iterator[None]:
        """Trace gradient rules, in which every axis has a size of its own, and sizes may be read."""
        self.axis_of = {size: axis for axis, size in sizes.items()}
        self.sizes_known = self.in_rule = True
        with handling(self), enable_grad():
            yield


def _among(params: dict[str, Any]) -> bool:
    flat = (each for value in params.values() for each in (value if isinstance(value, tuple | list) else (value,)))
    return any(isinstance(each, Traced) for each in flat)


def _check_input(arg: Any) -> None:
    if isinstance(arg, Tensor) and not isinstance(arg, Traced):
        raise Refusal("it uses a tensor that is not one of its arguments, or that it made; pass it as an argument")
    if isinstance(arg, np.ndarray):
        raise Refusal("it uses an array that is not one of its arguments; pass it as a tensor")
    if not isinstance(arg, Tensor | np.generic | int | float | bool):
        raise Refusal(f"it computes with a {type(arg).__name__}")


def trace(
    function: Callable[..., Any],
    inputs: list[tuple[tuple[int, ...], Any]],
    fill: Callable[..., Any],
    rewritten: Mapping[str, Callable[..., Any]],
    sizes_known: bool,
) -> tuple[Tracer, list[Value], Value]:
    """What `function` computes of inputs with these shapes and dtypes, where `fill(inputs)` gives its arguments and
    `rewritten` says, by name, which primitives are taken apart and how.

    Raises Refusal where it cannot be fused, and SizesRead where it asks for sizes while they are not known.
    """
    tracer = Tracer(sizes_known, rewritten)
    given: list[Traced] = []
    with tracer.tracing():
        for number, (shape, dtype) in enumerate(inputs):
            dims = tuple(None if size == 1 else Axis() for size in shape)
            value = Value("input", (), dims, np.dtype(dtype), tracer.next_number(), name=f"input {number}")
            tracer.values.append(value)
            given.append(tracer.stand_in(value, shape))
        args, kwargs = fill(given)
        try:
            out = function(*args, **kwargs)
        except (Refusal, SizesRead):
            raise
        except Exception as error:  # its own, which it will raise again as it was written, or one of the stand-ins'
            raise Refusal(f"it raised {type(error).__name__} when traced: {error}") from error
    if not isinstance(out, Traced):
        kind = f"{len(out)} values" if isinstance(out, tuple | list) else type(out).__name__
        raise Refusal(f"it returns {kind} that is not one computed tensor")
    if out.value.operation == "input" or (out.value.operation == "same" and out.value.values[0].operation == "input"):
        raise Refusal("it returns its argument")
    return tracer, [each.value for each in given], out.value
