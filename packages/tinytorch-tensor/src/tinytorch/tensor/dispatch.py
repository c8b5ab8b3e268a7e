"""The one function that every operation on tensors goes through, and the handlers stacked around it.

A `Primitive` is a forward on arrays with a name. Calling it runs the handlers that are installed, from the outermost
level to the innermost, and then the forward. With no handler installed that is the forward and little else.
"""

from __future__ import annotations

import functools
import inspect
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, overload

import numpy as np

from . import dtypes
from .dtypes import Array, as_numbers, default_dtype
from .tensor import Tensor, wrap

KERNEL = 0
"""The innermost level of handlers, for those that compute a primitive in another way."""

RECORD = 1
"""The level of handlers that remember what was computed, as autograd does; they stand around `KERNEL`."""

OBSERVE = 2
"""The outermost level of handlers, for those that look on: they time, count or print."""

Result = Any  # a Tensor, or for fused primitives the pair (Tensor, saved)
Explain = Callable[..., Exception | None]
Next = Callable[["Primitive", tuple[Any, ...], dict[str, Any]], Result]


class Handler(Protocol):
    """Stands around primitives: calls `next(primitive, args, params)`, usually once, and returns what that returned.

    That is a tensor, or for a fused primitive the pair (tensor, saved). Any callable with an integer `level` will do;
    see `handling` for one.
    """

    @property
    def level(self) -> int: ...

    def __call__(
        self, next: Next, primitive: Primitive, args: tuple[Any, ...], params: dict[str, Any], /
    ) -> Result: ...


class Primitive:
    """An operation on tensors, declared by its forward on arrays.

    Parameters of the forward before `/` (or its `*args`) are inputs: tensors, arrays, Python scalars, or None where the
    forward allows it. The others are parameters, which no gradient reaches. A `fused` primitive's forward returns
    `(out, saved)`, where `saved` is whatever its own backward will want. `explain(error, *arrays, **params)` may turn a
    ValueError, TypeError or IndexError of the forward into one that says more, or return None.
    """

    def __init__(
        self,
        forward: Callable[..., Any],
        name: str,
        doc: str | None,
        inputs: tuple[str, ...],
        *,
        defaults: tuple[Any, ...] = (),
        params: tuple[str, ...] = (),
        variadic: bool = False,
        fused: bool = False,
        explain: Explain | None = None,
        module: str = "",
    ) -> None:
        self.forward = forward
        self.name = self.__name__ = self.__qualname__ = name
        self.__doc__ = doc
        self.__module__ = module
        self.__wrapped__ = forward
        self.inputs = inputs
        self.params = params
        self.defaults = defaults  # of the last inputs, where they are optional
        self.arity = UNBOUNDED if variadic else len(inputs)
        self.fused = fused
        self.explain = explain

    def __call__(self, *args: Any, **params: Any) -> Tensor:
        if len(args) != self.arity or (params and not self.params):
            args, params = self._bind(args, params)
        result = _outermost(self, args, params)
        out: Tensor = result[0] if self.fused else result
        return out

    def lift(self, *args: Any, **params: Any) -> Any:
        """On tensors a tensor, through dispatch; on arrays an array, without it. For use inside gradient rules."""
        if any(isinstance(arg, Tensor) for arg in args):
            return self(*args, **params)
        out = self.forward(*args, **params)
        return out[0] if self.fused else out

    def lower(self) -> Callable[..., Array]:
        """What this computes as a function on arrays, with the dtypes and errors that tensors of them would give.

        No handler sees it run, so nothing is recorded. Inputs and parameters are those of the forward.

        >>> from tinytorch.tensor import add
        >>> add.lower()(np.array([1, 2]), np.array([0.5, 0.5], np.float32)).dtype
        dtype('float32')
        """
        forward, fused = self.forward, self.fused

        def lowered(*arrays: Any, **params: Any) -> Array:
            try:
                out = forward(*arrays, **params)
            except (ValueError, TypeError, IndexError) as error:
                better = explained(self, error, arrays, params)
                if better is error:
                    raise
                raise better from None
            if fused:
                out = out[0]
            if out.dtype is not dtypes.settled and out.dtype is not getattr(arrays[0], "dtype", None):
                out = settle(self, out, tuple(wrap(x) if isinstance(x, ndarray) else x for x in arrays), params)
            return out if type(out) is ndarray else np.asarray(out)

        return lowered

    def _bind(self, args: tuple[Any, ...], params: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Positional arguments beyond the inputs are parameters; missing optional inputs get their default."""
        if self.arity == UNBOUNDED:
            return args, params
        by_name = [name for name in self.inputs if name in params]
        if by_name:
            raise TypeError(
                f"{self.name}: {by_name[0]!r} is an input; inputs are given by place, without names: {self.form}"
            )
        extra = args[self.arity :]
        missing = self.arity - len(args)
        if len(extra) > len(self.params) or missing > len(self.defaults) or params.keys() & self.params[: len(extra)]:
            raise TypeError(f"{self.name}: got {len(args)} arguments; the form is {self.form}")
        if not self.params and params:
            raise TypeError(f"{self.name}: unknown argument {next(iter(params))!r}; the form is {self.form}")
        params.update(zip(self.params, extra, strict=False))
        return args[: self.arity] + self.defaults[len(self.defaults) - max(missing, 0) :], params

    @property
    def form(self) -> str:
        """How it is called, such as `sum(x, axis, keepdims)`."""
        return f"{self.name}({', '.join((*self.inputs, *self.params))})"

    def __repr__(self) -> str:
        return f"<primitive {self.form}>"

    def __reduce__(self) -> str:
        return self.name  # copied and pickled as functions are: there is one of it, found by its name


UNBOUNDED = 2**31

registry: dict[str, Primitive] = {}
"""Every primitive that has been declared, by `module.name`."""


@overload
def primitive(forward: Callable[..., Any], /) -> Primitive: ...
@overload
def primitive(*, fused: bool = ..., explain: Explain | None = ...) -> Callable[[Callable[..., Any]], Primitive]: ...
def primitive(
    forward: Callable[..., Any] | None = None,
    /,
    *,
    fused: bool = False,
    explain: Explain | None = None,
) -> Any:
    """Declare a primitive from its forward on arrays.

    >>> @primitive
    ... def double(x, /):
    ...     return x * 2
    >>> double(Tensor([1.0, 2.0]))
    Tensor([2., 4.])
    """
    if forward is None:
        return functools.partial(_from_forward, fused=fused, explain=explain)
    return _from_forward(forward, fused, explain)


def _from_forward(forward: Callable[..., Any], fused: bool, explain: Explain | None) -> Primitive:
    """Inputs are the parameters before `/`, or all of `*args`."""
    parameters = inspect.signature(forward).parameters.values()
    inputs = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.VAR_POSITIONAL)]
    return declare(
        Primitive(
            forward,
            forward.__name__,
            forward.__doc__,
            tuple(p.name for p in inputs),
            defaults=tuple(p.default for p in inputs if p.default is not p.empty),
            params=tuple(p.name for p in parameters if p not in inputs),
            variadic=any(p.kind is p.VAR_POSITIONAL for p in inputs),
            fused=fused,
            explain=explain,
            module=forward.__module__,
        )
    )


def declare(primitive: Primitive) -> Primitive:
    """Enter `primitive` in the registry."""
    registry[f"{primitive.__module__}.{primitive.name}"] = primitive
    return primitive


def run(primitive: Primitive, args: tuple[Any, ...], params: dict[str, Any]) -> Result:
    """The innermost step: unwrap the inputs, run the forward, wrap what comes out."""
    forward, raw = primitive.forward, None
    try:
        # most have one input or two: spelled out, without a loop and without unpacking, these take half the time
        if len(args) == 1:
            x = args[0]
            x = x._data if isinstance(x, Tensor) else (raw := given(primitive, 0, x))
            out = forward(x, **params) if params else forward(x)
        elif len(args) == 2 and not params:
            x, y = args
            out = forward(
                x._data if isinstance(x, Tensor) else x if type(x) in WEAK else (raw := given(primitive, 0, x)),
                y._data if isinstance(y, Tensor) else y if type(y) in WEAK else (raw := given(primitive, 1, y)),
            )
        else:
            inputs: list[Any] = []
            for x in args:
                if isinstance(x, Tensor):
                    inputs.append(x._data)
                else:
                    inputs.append(x if type(x) in WEAK else (raw := given(primitive, len(inputs), x)))
            out = forward(*inputs, **params)
    except (ValueError, TypeError, IndexError) as error:
        better = explained(primitive, error, args, params)
        if better is error:
            raise
        raise better from None
    saved = None
    if primitive.fused:
        if type(out) is not tuple or len(out) != 2:
            raise no_pair(primitive, out)
        out, saved = out
    try:
        if out.dtype is not dtypes.settled or raw is not None:
            out = settle(primitive, out, args, params)
    except AttributeError:
        if hasattr(out, "dtype"):
            raise
        raise no_array(primitive, out) from None
    result: Tensor = new(Tensor)  # what `wrap` does: the call would be a tenth of what dispatch costs
    result._data = out if type(out) is ndarray else np.asarray(out)
    result._grad = result.node = result.hooks = None
    result.requires_grad = False
    return (result, saved) if primitive.fused else result


new, ndarray = object.__new__, np.ndarray

WEAK = frozenset({int, float, bool})
"""Python scalars take the dtype of the tensor they meet."""


def unwrap(arg: Any) -> Any:
    """An input as the forward sees it: an array, a Python scalar or None."""
    if isinstance(arg, Tensor):
        return arg._data
    if isinstance(arg, np.generic):
        return arg.item()  # np.sqrt(2) is a number like math.sqrt(2), and would lose digits as a float32 array
    return arg if arg is None or type(arg) in WEAK else as_numbers(arg)


def given(primitive: Primitive, place: int, arg: Any) -> Any:
    """What was given as an input and is no tensor, as the forward sees it; None only where that is the default."""
    if arg is None and place < len(primitive.inputs) - len(primitive.defaults):
        name = primitive.inputs[place]
        raise MissingInput(f"{primitive.name}: {name} is None; it must be a tensor, an array or a number")
    return unwrap(arg)


class MissingInput(TypeError):
    """None was given where an input is needed; told apart from the errors of forwards, users see a TypeError."""


def explained(primitive: Primitive, error: Exception, args: tuple[Any, ...], params: dict[str, Any]) -> Exception:
    """An error of a forward as its user should see it: the primitive's own words, or a note of what was computed."""
    if isinstance(error, MissingInput):
        return TypeError(*error.args)
    better = primitive.explain and primitive.explain(error, *map(unwrap, args), **params)
    if better is None and not re.match(r"\w+: ", str(error)):  # which would say already what was called
        shown = [f"{arg.shape} {arg.dtype}" if hasattr(arg, "dtype") else repr(arg)[:40] for arg in args]
        error.add_note(f"while computing {primitive.name}({', '.join(shown)})")
    return better or error


def no_array(primitive: Primitive, out: Any) -> TypeError:
    return TypeError(
        f"{primitive.name}: its forward returned a {type(out).__name__}; a forward returns one array, "
        "and a fused one (out, saved) with an array in the first place"
    )


def no_pair(primitive: Primitive, out: Any) -> TypeError:
    return TypeError(
        f"{primitive.name}: its forward returned a {type(out).__name__}; that of a fused primitive returns "
        "(out, saved), with None for nothing saved"
    )


def settle(primitive: Primitive, out: Array, args: tuple[Any, ...], params: dict[str, Any]) -> Array:
    """Give a floating-point result the dtype of the floating-point tensors it was made from; without one, the default.

    In NumPy an integer array makes a float32 one float64, and so does a float64 array; here only tensors decide, and
    arrays and lists beside them are computed with in the precision they have.
    """
    dtype = out.dtype
    for arg in args:
        if isinstance(arg, Tensor) and arg._data.dtype is dtype:
            return out
    if dtype.kind != "f" or "dtype" in params:
        return out
    floats = [arg._data.dtype for arg in args if isinstance(arg, Tensor) and arg._data.dtype.kind == "f"]
    wanted = np.result_type(*floats) if floats else default_dtype()
    if dtype.itemsize < wanted.itemsize and not floats and not primitive.fused:
        inputs = [unwrap(arg) for arg in args]
        if not any(isinstance(x, ndarray) and x.dtype.kind == "f" for x in inputs):
            # of narrow integers NumPy computes functions in half precision: once more, with all digits
            return primitive.forward(*[x.astype(wanted) if isinstance(x, ndarray) else x for x in inputs], **params)
    return out.astype(wanted, copy=False)


# What is installed is process-wide. Both names are only ever bound anew, so that a thread that is computing sees the
# handlers of before or of after, whole.
_handlers: tuple[Handler, ...] = ()
_outermost: Next = run
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
    global _handlers, _outermost
    outermost: Next = run
    for handler in installed:
        outermost = functools.partial(handler.__call__, outermost)  # found once here instead of at every operation
    _handlers, _outermost = installed, outermost


def handlers() -> tuple[Handler, ...]:
    """The installed handlers, innermost first."""
    return _handlers


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
