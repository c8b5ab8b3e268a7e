"""The one function that every operation on tensors goes through, and the handlers stacked around it.

Calling a `Primitive` runs the installed handlers, from the outermost level to the innermost, and then its forward.
"""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Protocol, overload

import numpy as np
from numpy import ndarray

from . import dtypes, precision
from .dtypes import Array
from .running import Args, Params, Result, Run, improve, run1, run2, run_any, run_fused, settle
from .tensor import Tensor, wrap
from .words import unknown_argument

KERNEL = 0
"""The innermost level of handlers, for those that compute a primitive differently."""

RECORD = 1
"""The level of handlers that record what was computed, as autograd does; it is outside `KERNEL`."""

OBSERVE = 2
"""The outermost level of handlers, for those that only observe: they time, count or print."""

Explain = Callable[..., Exception | None]


class Handler(Protocol):
    """Wraps every primitive: calls `next(primitive, args, params)`, usually once, and returns the result.

    The result is a tensor, or for a fused primitive the pair (tensor, saved). A callable with an integer `level` works.
    """

    @property
    def level(self) -> int: ...

    def __call__(self, next: Run, primitive: Primitive, args: Args, params: Params, /) -> Result: ...


_data_of = attrgetter("_data")


@dataclass(eq=False, repr=False)
class Primitive:
    """An operation on tensors, declared by its forward on arrays.

    Parameters of the forward before `/` (or its `*args`) are inputs: tensors, arrays, Python scalars, or None where the
    forward allows it. The others are parameters, which no gradient reaches. A `fused` primitive's forward returns
    `(out, saved)`, where `saved` is whatever its own backward will want. Inputs of float16 reach the forward and the
    gradient rule of an `upcast` primitive in float32, and results are rounded back. `explain(error, *arrays, **params)`
    may turn a ValueError, TypeError or IndexError of the forward into one that says more, or return None. `rows` is
    the part of the forward that computes, for a first input of rows (n, D): `lower` calls it where nothing has to be
    converted, because all arrays are float32, or all float64.
    """

    forward: Callable[..., Any]
    name: str
    doc: str | None
    inputs: tuple[str, ...]
    defaults: tuple[Any, ...] = ()  # of the last inputs, where they are optional
    params: tuple[str, ...] = ()
    variadic: bool = False
    fused: bool = False
    upcast: bool = False
    explain: Explain | None = None
    rows: Callable[..., Any] | None = None
    module: str = ""

    def __post_init__(self) -> None:
        self.__name__ = self.__qualname__ = self.name
        self.__doc__, self.__module__, self.__wrapped__ = self.doc, self.module, self.forward
        self.arity = UNBOUNDED if self.variadic else len(self.inputs)
        self.run: Run = run_fused if self.fused else {1: run1, 2: run2}.get(self.arity, run_any)
        self.narrow = self.forward  # for inputs that need no widening
        if self.upcast:
            self.forward = precision.upcast(self.forward)
        registry[f"{self.module}.{self.name}"] = self

    def __call__(self, *args: Any, **params: Any) -> Tensor:
        if len(args) != self.arity or (params and not self.params):
            args, params = self._bind(args, params)
        try:
            result: Result = self.run(self, args, params) if _outermost is None else _outermost(self, args, params)
        except (ValueError, TypeError, IndexError) as error:
            raise improve(self, error, args, params)  # noqa: B904
        out: Tensor = result[0] if self.fused else result
        return out

    def lift(self, *args: Any, **params: Any) -> Any:
        """On tensors a tensor, through dispatch; on arrays an array, without it. For use inside gradient rules."""
        if any(isinstance(arg, Tensor) for arg in args):
            return self(*args, **params)
        out = self.forward(*args, **params)
        return out[0] if self.fused else out

    def lower(self, *bound: Tensor | None, **options: Any) -> Callable[..., Array]:
        """What this computes as a function on arrays, with the dtypes and errors that tensors of them would give.

        No handler sees it run, so nothing is recorded; it asks the `kernels()` that are installed when it is made.
        Inputs and parameters are those of the forward; `bound` are its last inputs (None at the end leaves one out),
        read when it runs, and `options` parameters that are fixed.

        >>> from tinytorch.tensor import add
        >>> add.lower()(np.array([1, 2]), np.array([0.5, 0.5], np.float32)).dtype
        dtype('float32')
        """
        wide, narrow = (substitute(self, forward) for forward in (self.forward, self.narrow))
        fused = self.fused
        tensors = [tensor for tensor in bound if tensor is not None]

        def lowered(*given: Any, **params: Any) -> Array:
            arrays = (*given, *map(_data_of, tensors)) if tensors else given
            params = {**options, **params} if params else options
            try:
                out = (wide if dtypes.settled is None else narrow)(*arrays, **params)
            except (ValueError, TypeError, IndexError) as error:
                raise improve(self, error, arrays, params)  # noqa: B904
            if fused:
                out = out[0]
            if out.dtype is not dtypes.settled:
                if out.dtype is dtypes.float16 and dtypes.settled is not None:
                    dtypes.as_numbers(out)  # the first of float16, which is widened from now on
                    return lowered(*given, **params)
                if out.dtype is not getattr(arrays[0], "dtype", None):
                    out = settle(self, out, tuple(wrap(x) if isinstance(x, ndarray) else x for x in arrays), params)
            return out if type(out) is ndarray else np.asarray(out)

        kinds = {tensor.dtype for tensor in tensors}
        if self.rows is None or wide is not self.forward or len(kinds) != 1 or not kinds <= PLAIN:
            return lowered
        return self._lower_rows(lowered, tensors, options)

    def _lower_rows(
        self, general: Callable[..., Array], tensors: list[Tensor], options: Params
    ) -> Callable[..., Array]:
        """A lowered function of one array that leaves out what `general` asks, where `rows` can take it."""
        assert self.rows is not None
        fused, rows = self.fused, functools.partial(self.rows, **options) if options else self.rows
        dtype = tensors[0].dtype

        def lowered(x: Array) -> Array:
            if x.dtype is not dtype or (axes := x.ndim) < 2:
                return general(x)
            try:
                array = x if axes == 2 else x.reshape(-1, x.shape[-1])  # (..., D) -> (n, D)
                out = rows(array, *map(_data_of, tensors))
            except ValueError:  # of shapes that do not fit, or of no numbers
                return general(x)
            out = out[0] if fused else out  # (n, D')
            return out if axes == 2 else out.reshape(*x.shape[:-1], out.shape[1])

        return lowered

    def _bind(self, args: Args, params: Params) -> tuple[Args, Params]:
        """Positional arguments beyond the inputs are parameters; missing optional inputs get their default."""
        if self.arity == UNBOUNDED:
            return args, params
        extra, missing = args[self.arity :], self.arity - len(args)
        by_place = dict(zip(self.params, extra, strict=False))
        if params or len(extra) > len(self.params) or missing > len(self.defaults):
            for name in params:
                if name in self.inputs:
                    raise TypeError(f"{self.name}: {name!r} is an input; inputs are positional-only: {self.form}")
                if not self.params:
                    raise unknown_argument(self.name, name, self.form)
            if len(extra) > len(by_place) or missing > len(self.defaults) or by_place.keys() & params:
                raise TypeError(f"{self.name}: got {len(args)} arguments; the form is {self.form}")
            by_place |= params
        return args[: self.arity] + (self.defaults[-missing:] if missing > 0 else ()), by_place

    @property
    def form(self) -> str:
        """How it is called, such as `sum(x, axis, keepdims)`."""
        return f"{self.name}({', '.join((*self.inputs, *self.params))})"

    def __repr__(self) -> str:
        return f"<primitive {self.form}>"

    def __reduce__(self) -> str:
        return self.name  # copied and pickled as functions are: there is one of it, found by its name


PLAIN = frozenset({np.dtype(np.float32), np.dtype(np.float64)})
"""What NumPy computes with as it is."""

UNBOUNDED = 2**31

registry: dict[str, Primitive] = {}
"""Every primitive that has been declared, by `module.name`."""


@overload
def primitive(forward: Callable[..., Any], /) -> Primitive: ...
@overload
def primitive(
    *, fused: bool = ..., upcast: bool = ..., explain: Explain | None = ..., rows: Callable[..., Any] | None = ...
) -> Callable[[Callable[..., Any]], Primitive]: ...
def primitive(
    forward: Callable[..., Any] | None = None, /,
    *, fused: bool = False, upcast: bool = False, explain: Explain | None = None,
    rows: Callable[..., Any] | None = None,
) -> Any:  # fmt: skip
    """Declare a primitive from its forward on arrays; see `Primitive` for the options.

    >>> @primitive
    ... def double(x, /):
    ...     return x * 2
    >>> double(Tensor([1.0, 2.0]))
    Tensor([2., 4.])
    """
    if forward is None:
        return functools.partial(primitive, fused=fused, upcast=upcast, explain=explain, rows=rows)
    parameters = inspect.signature(forward).parameters.values()
    inputs = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.VAR_POSITIONAL)]
    params = tuple(p.name for p in parameters if p not in inputs)
    defaults = tuple(p.default for p in inputs if p.default is not p.empty)
    variadic = any(p.kind is p.VAR_POSITIONAL for p in inputs)
    if not inputs:
        raise TypeError(f"primitive: {forward.__name__} has no inputs; write `/` behind those that are tensors")
    return Primitive(
        forward, forward.__name__, forward.__doc__, tuple(p.name for p in inputs), defaults, params, variadic,
        fused=fused, upcast=upcast, explain=explain, rows=rows, module=forward.__module__,
    )  # fmt: skip


def run(primitive: Primitive, args: Args, params: Params) -> Result:
    """What the innermost handler calls."""
    return primitive.run(primitive, args, params)


# Handlers are process-wide. Both names are only ever rebound, never changed in place, so a computing thread sees
# either all the old handlers or all the new ones.
_handlers: tuple[Handler, ...] = ()
_outermost: Run | None = None
_kernels: tuple[Any, ...] = ()
_changing = threading.Lock()


def push(handler: Handler) -> None:
    """Install `handler` around every primitive; its `level` decides its place, later ones of a level stand outside.
    Raises TypeError when it has no level, ValueError when it is installed already.
    """
    if not isinstance(getattr(handler, "level", None), int):
        raise TypeError(f"push: {handler!r} has no level; give it `level = OBSERVE`, RECORD or KERNEL")
    with _changing:
        if any(handler is installed for installed in _handlers):
            raise ValueError(f"push: {handler!r} is installed already; pop it first")
        _install(*sorted((*_handlers, handler), key=lambda installed: installed.level))


def pop(handler: Handler) -> None:
    """Take `handler` out again, wherever it stands. Raises ValueError when it is not installed."""
    with _changing:
        if not any(handler is installed for installed in _handlers):
            raise ValueError(f"pop: {handler!r} is not installed; push it first")
        _install(*(installed for installed in _handlers if installed is not handler))


def _install(*installed: Handler) -> None:
    global _handlers, _outermost, _kernels
    outermost: Run | None = None
    for handler in installed:  # each `__call__` is looked up once, here, instead of at every operation
        outermost = functools.partial(handler.__call__, outermost or run)
    _handlers, _outermost = installed, outermost
    knowing = tuple([handler for handler in installed if hasattr(handler, "kernel_for")])
    if knowing != _kernels:  # it stays the same object while they stay the same
        _kernels = knowing


def handlers() -> tuple[Handler, ...]:
    """The installed handlers, innermost first."""
    return _handlers


def kernels() -> tuple[Any, ...]:
    """The installed handlers with a method `kernel_for`, innermost first: the same tuple while they are the same.

    `kernel_for(original)` returns the function on arrays that stands for `original`, or None; see `substitute`.
    """
    return _kernels


def substitute(original: Any, usual: Callable[..., Any]) -> Callable[..., Any]:
    """What computes `original` now: the kernels that installed handlers have for it, and `usual` behind them.

    A kernel takes the arguments of `usual` and returns what `usual` would, or NotImplemented where it does not serve
    the call; then the next one is asked, `usual` at the end. `original` is what the kernels are known by: a primitive
    for its forward, and any object that a later stage names for functions on arrays of its own.

    >>> from tinytorch.tensor import Kernels
    >>> def halve(x):
    ...     return x / 2
    >>> kernel = lambda x: x >> 1 if type(x) is int else NotImplemented
    >>> with handling(Kernels({halve: kernel})):
    ...     function = substitute(halve, halve)
    >>> function(4), function(1.0)
    (2, 0.5)
    """
    found = usual
    for handler in _kernels:
        if (kernel := handler.kernel_for(original)) is not None:
            found = functools.partial(_first, kernel, found)
    return found


def _first(kernel: Callable[..., Any], usual: Callable[..., Any], /, *args: Any, **params: Any) -> Any:
    out = kernel(*args, **params)
    return usual(*args, **params) if out is NotImplemented else out


@contextmanager
def handling(handler: Handler) -> Iterator[Handler]:
    """Install `handler` for the duration of a with block, whatever happens in it. Raises as `push` does.

    >>> class Names:
    ...     level = OBSERVE
    ...     def __call__(self, next, primitive, args, params):
    ...         print(primitive.name)
    ...         return next(primitive, args, params)
    >>> with handling(Names()):
    ...     out = Tensor([1.0, 2.0]) * 3
    multiply
    """
    push(handler)
    try:
        yield handler
    finally:
        pop(handler)
