"""`fuse`: a function of tensors compiled into one pass over the data."""

from __future__ import annotations

import functools
import inspect
import types
from collections import Counter
from collections.abc import Callable
from threading import RLock
from typing import Any

from tinytorch.autograd import defvjp
from tinytorch.tensor import Primitive, Tensor, default_dtype

from .forms import Form, backward, composition, forward
from .graph import Refusal
from .showing import Trace
from .tracing import Traced

MOST_FORMS = 32
PLAIN = (int, float, bool, str, type(None))


class Fused:
    """A function that runs fused where it can be, and as it was written where not. See `fuse`."""

    def __init__(self, function: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.name = "".join(c if c.isalnum() else "_" for c in getattr(function, "__name__", "fused")).strip("_")
        self.name = self.name or "fused"
        self.primitive = Primitive(
            forward, self.name, function.__doc__, ("*inputs",), params=("form", "dtype"), variadic=True, fused=True,
            module=getattr(function, "__module__", None) or __name__,
        )  # fmt: skip
        defvjp(self.primitive, fused=backward, composition=composition, keep=("inputs",))
        self._forms: dict[Any, Form | str] = {}
        self._counts: Counter[str] = Counter()
        self._lock = RLock()
        self._names = _surroundings(function)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        tensors = [arg for arg in (*args, *kwargs.values()) if isinstance(arg, Tensor)]
        if any(isinstance(arg, Traced) for arg in tensors):
            return self.function(*args, **kwargs)  # another function that uses this one is being traced
        form = self._form(tensors, args, kwargs)
        if isinstance(form, str):
            self._counts[form] += 1
            return self.function(*args, **kwargs)
        self._counts[""] += 1
        return self.primitive(*tensors, form=form, dtype=form.out.dtype)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else types.MethodType(self, instance)

    def _form(self, tensors: list[Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Form | str:
        """The form for such a call, traced if there is none yet; or the reason why it is not fused."""
        try:
            constants = tuple(None if isinstance(arg, Tensor) else _constant(arg) for arg in args)
            named = tuple((n, None if isinstance(arg, Tensor) else _constant(arg)) for n, arg in kwargs.items())
        except Refusal as refusal:
            return str(refusal)
        sizes: dict[int, int] = {1: 1}
        shapes = []
        for x in tensors:
            if not x.size:
                return "a tensor has no elements"
            shapes.append((x.dtype.char, *[sizes.setdefault(n, -len(sizes)) for n in x.shape]))
        key: tuple[Any, ...] = (constants, named, tuple(shapes), default_dtype(), tuple(_around(self._names)))
        form = self._forms.get(key)
        if isinstance(form, Form) and not form.any_size:
            key = (*key, tuple(x.shape for x in tensors))
            form = self._forms.get(key)
        return self._trace(key, tensors, args, kwargs) if form is None else form

    def _trace(self, key: Any, tensors: list[Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Form | str:
        if not tensors:
            return "no tensor among the arguments"
        with self._lock:
            if len(self._forms) >= MOST_FORMS:
                return f"more than {MOST_FORMS} combinations of dtypes, shapes and constants; pass numbers as tensors"
            form: Form | str
            try:
                form = Form(self.function, self.name, _filling(args, kwargs), tensors)
            except Refusal as refusal:
                form = str(refusal)
            self._forms[key] = form
            if isinstance(form, Form) and not form.any_size and len(key) == 5:
                self._forms[*key, tuple(x.shape for x in tensors)] = form
            return form

    def why(self) -> str:
        """How many calls were fused, and why others were not.

        >>> @fuse
        ... def half(x):
        ...     return x / 2 if x.sum() > 0 else x
        >>> out = half(Tensor([1.0, 2.0]))
        >>> print(half.why())
        half: 0 calls fused, 1 not
          1: it reads the numbers in a tensor, as a Python branch (`if x.sum() > 0`), item() and float() do
        """
        counts = dict(self._counts)
        fused = counts.pop("", 0)
        lines = [f"{self.name}: {fused} call{'s' * (fused != 1)} fused, {sum(counts.values())} not"]
        return "\n".join(lines + [f"  {count}: {reason}" for reason, count in counts.items()])

    def trace(self, *examples: Any, **named: Any) -> Trace:
        """What is computed of such arguments, to print and to draw. Raises ValueError where it is not fused.

        >>> from tinytorch.tensor import sqrt
        >>> @fuse
        ... def length(x, y):
        ...     return sqrt(x * x + y * y)
        >>> length.trace(Tensor([1.0, 2.0]), Tensor([3.0]))
        length(x, y): one pass over (a)
          x                      float32 (a)
          y                      float32 (1)
          v2 = multiply(x, x)    float32 (a)
          v3 = multiply(y, y)    float32 (1)
          v4 = add(v2, v3)       float32 (a)
          v5 = sqrt(v4)          float32 (a)
          return v5
        """
        tensors = [arg for arg in (*examples, *named.values()) if isinstance(arg, Tensor)]
        form = self._form(tensors, examples, named)
        if isinstance(form, str):
            raise ValueError(f"trace: {self.name} is not fused for these arguments: {form}")
        try:
            bound = inspect.signature(self.function).bind(*examples, **named).arguments
        except (TypeError, ValueError):
            bound = {}
        names = [name for x in tensors for name, arg in bound.items() if arg is x]
        return Trace(form, names if len(names) == len(tensors) else [f"x{place}" for place in range(len(tensors))])

    def __repr__(self) -> str:
        return f"<fused {self.name}>"


def fuse(function: Callable[..., Any]) -> Fused:
    """Compile a function of tensors into one pass over the data, and its gradient into another.

    Written as operations, `0.5 * x * (1 + tanh(x))` reads and writes memory five times; fused, once, on all cores. The
    function may use arithmetic, comparisons, `where`, `maximum`, `clip`, casts, the usual functions (`exp`, `log`,
    `tanh`, `sqrt`, `erf`, ...), `sum`, `mean`, `var`, `max` and their like over any axes, broadcasting, and what the
    layers compose of these (`gelu`, `softmax`, `layer_norm`). It returns one tensor. float32 and float64 are computed
    as such; sums are collected in float64 and are the same on any number of cores.

    It is traced once for each combination of ranks, dtypes, sizes that are equal, and numbers among the arguments and
    around the function; if it reads sizes, for each shape. What cannot be fused (a matrix product, a branch on a
    tensor's numbers, tensors that are not arguments) runs as it was written, and `why()` says why. What tracing cannot
    see, such as a `print` or a counter in the function, happens only then.

    The result is a function, and one primitive: handlers and the profiler see it as one operation. Its gradient keeps
    only the inputs and computes the rest again; second derivatives go through the function as it was written. The
    first call compiles, for a second or so; what was compiled is kept on disk. Raises AccelerationError where Numba is
    missing, TypeError for what cannot be called.

    >>> from tinytorch.tensor import tanh
    >>> @fuse
    ... def gelu(x):
    ...     return 0.5 * x * (1 + tanh(0.7978845608 * (x + 0.044715 * x**3)))
    >>> gelu(Tensor([0.0, 1.0]))
    Tensor([0.    , 0.8412])
    """
    if not callable(function):
        raise TypeError(f"fuse: a {type(function).__name__} was given; it takes a function of tensors")
    return function if isinstance(function, Fused) else Fused(function)


def _constant(arg: Any) -> Any:
    """A key for an argument that is not a tensor: equal ones make equal programs. Raises Refusal for objects."""
    if isinstance(arg, float):
        return float, repr(arg)  # -0.0 and NaN are numbers of their own
    if type(arg) in PLAIN:
        return type(arg), arg
    if type(arg) is tuple:
        return tuple(map(_constant, arg))
    raise Refusal(f"an argument is a {type(arg).__name__}; tensors, numbers, strings and tuples of them are fused")


def _filling(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The function that puts tensors in the places of those among these arguments."""
    places = tuple(None if isinstance(arg, Tensor) else arg for arg in args)
    held = tuple(isinstance(arg, Tensor) for arg in args)
    named = {name: None if isinstance(arg, Tensor) else arg for name, arg in kwargs.items()}
    among = [name for name, arg in kwargs.items() if isinstance(arg, Tensor)]

    def fill(tensors: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        given = iter(tensors)
        positional = tuple(next(given) if tensor else arg for tensor, arg in zip(held, places, strict=True))
        return positional, named | {name: next(given) for name in among}

    return fill


def _surroundings(function: Any) -> list[tuple[Any, str]]:
    """Where the function may find numbers that are not arguments: its globals, by name, and its closure's cells."""
    code = getattr(function, "__code__", None)
    if code is None:
        return []
    cells = [(cell, "") for cell in function.__closure__ or ()]
    return cells + [(function.__globals__, name) for name in code.co_names]


def _around(places: list[tuple[Any, str]]) -> list[Any]:
    """The numbers that stand there now."""
    found = []
    for place, name in places:
        try:
            value = place.get(name) if name else place.cell_contents
        except ValueError:  # a cell that is filled later
            continue
        if type(value) in PLAIN:
            found.append((name, _constant(value)))
    return found
