"""Functions that Numba compiles when they are first called, kept on disk for the next process."""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.util
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from pickle import PicklingError
from threading import RLock
from types import ModuleType
from typing import Any, overload
from weakref import WeakSet

from .errors import AccelerationError
from .team import share

_compiling = RLock()
_functions: WeakSet[Callable[..., Any]] = WeakSet()
REASSOCIATE = frozenset({"contract", "reassoc", "nsz"})
"""For sums: LLVM may add in the order of its vectors, the same in every run. NaN and infinity keep their meaning."""
EXACT = frozenset({"contract"})
"""For everything else: products and sums may be fused, which rounds once instead of twice."""


class Compiled:
    """A function that runs as machine code, without the interpreter's lock; compiled for each combination of types.

    Within another compiled function it is called like any function, and inlined.
    """

    def __init__(self, function: Callable[..., Any], reassociate: bool) -> None:
        functools.update_wrapper(self, function)
        self.function, self.reassociate = function, reassociate
        self._dispatcher: Any = None
        _functions.add(function)

    @property
    def dispatcher(self) -> Any:
        """What Numba makes of the function. Raises AccelerationError where there is no Numba."""
        if self._dispatcher is None:
            with _compiling:
                self._dispatcher = self._dispatcher or self._build(keep=True)
        return self._dispatcher

    def _build(self, keep: bool) -> Any:
        numba = load_numba()
        flags = set(REASSOCIATE if self.reassociate else EXACT)
        if self.function.__module__ is None:
            keep = False  # Numba would keep all names around a function that belongs to no module
        folder = cache_folder() if keep else None
        _overload_all(numba)
        options = {"nogil": True, "fastmath": flags, "error_model": "numpy"}
        if folder is None:
            return numba.njit(**options)(self.function)
        before = numba.config.CACHE_DIR
        numba.config.CACHE_DIR = str(folder)  # read when the dispatcher is made
        try:
            return numba.njit(cache=True, **options)(self.function)
        except RuntimeError:  # a function that was typed at a prompt is not kept
            return numba.njit(**options)(self.function)
        finally:
            numba.config.CACHE_DIR = before

    def __call__(self, *args: Any) -> Any:
        try:
            return (self._dispatcher or self.dispatcher)(*args)
        except (OSError, PicklingError):  # what was compiled cannot be kept: nothing has been computed yet
            with _compiling:
                self._dispatcher = self._build(keep=False)
            return self._dispatcher(*args)

    def over(self, count: int, block: int, *args: Any) -> None:
        """Call `function(start, stop, *args)` for `block` of `count` rows at a time, on all cores.

        Which core computes a block is left to chance; which blocks there are depends on the numbers alone.
        """
        if count <= block:
            if count:
                self(0, count, *args)
            return
        self.dispatcher  # noqa: B018  made here, so that two threads do not wait for it
        share(lambda part: self(part * block, min(count, (part + 1) * block), *args), -(-count // block))

    def __repr__(self) -> str:
        return f"<compiled {self.__name__}>"  # type: ignore[attr-defined]


@overload
def compiled(function: Callable[..., Any], /) -> Compiled: ...
@overload
def compiled(*, reassociate: bool = ...) -> Callable[[Callable[..., Any]], Compiled]: ...
def compiled(function: Callable[..., Any] | None = None, /, *, reassociate: bool = False) -> Any:
    """Compile a function of numbers and arrays with Numba when it is first called.

    What is compiled is kept in `cache_folder()`; where that cannot be written to, it is compiled once per process. A
    terminal is told what is being compiled. `reassociate` lets sums be computed in the order of the processor's
    vectors, in several running sums at once. The function runs without the interpreter's lock, so it must hold what
    it needs as arrays and numbers, and check nothing by raising.

    >>> @compiled
    ... def add_up_to(start, stop, x, out):
    ...     for i in range(start, stop):
    ...         out[i] = out[i] + x[i]
    >>> import numpy as np
    >>> out = np.zeros(5)
    >>> add_up_to.over(5, 2, np.arange(5.0), out)    # rows 0 and 1, 2 and 3, 4: on as many cores as there are
    >>> out
    array([0., 1., 2., 3., 4.])
    """
    if function is None:
        return functools.partial(compiled, reassociate=reassociate)
    return Compiled(function, reassociate)


def by_precision(single: Compiled, double: Compiled) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A function of one number, for use in compiled ones: `single` for numbers of 32 bits, `double` for those of 64."""

    def choose(name: Callable[..., Any]) -> Callable[..., Any]:
        _overloads.append((name, single, double))
        return name

    return choose


_overloads: list[tuple[Callable[..., Any], Compiled, Compiled]] = []


def _overload_all(numba: Any) -> None:
    """Tell Numba what the functions `by_precision` stand for."""
    while _overloads:
        _overload(numba, *_overloads.pop())


def _overload(numba: Any, name: Callable[..., Any], single: Compiled, double: Compiled) -> None:
    def choose(x: Any) -> Any:
        return {32: single.function, 64: double.function}.get(getattr(x, "bitwidth", 0))

    numba.extending.overload(name, jit_options={"fastmath": set(EXACT)}, strict=False)(choose)


@functools.cache
def load_numba() -> ModuleType:
    """Numba, imported now. Raises AccelerationError, which says what to install, where it cannot be."""
    if importlib.util.find_spec("numba") is None:
        raise AccelerationError("acceleration: Numba is not installed; `pip install numba` brings it")
    try:
        numba, event, extending = map(importlib.import_module, ("numba", "numba.core.event", "numba.extending"))
    except ImportError as error:  # a Numba for other versions of NumPy or Python
        raise AccelerationError(f"acceleration: Numba cannot be imported ({error}); install one that fits") from error

    extending.typeof_impl.register(Compiled)(lambda value, _: numba.types.Dispatcher(value.dispatcher))

    class Announcer(event.Listener):  # type: ignore[misc, name-defined]
        def on_start(self, event: Any) -> None:
            announce(event.data["dispatcher"], event.data["args"])

        def on_end(self, event: Any) -> None:
            """Nothing more is said."""

    event.register("numba:compile", Announcer())
    return numba


def announce(dispatcher: Any, types: Any) -> None:
    """Tell a terminal which function of these stages is being compiled."""
    function = dispatcher.py_func
    if function in _functions and sys.stderr.isatty():
        kinds = ", ".join(map(str, types))
        print(f"acceleration: compiling {function.__name__}({kinds}), once", file=sys.stderr)


@functools.cache
def cache_folder() -> Path | None:
    """Where compiled code is kept: below `NUMBA_CACHE_DIR`, or the user's cache folder; None where it is not writable.

    Numba notices that a function's own file was changed, not that a function it calls was: so every state of this
    package has a folder of its own.
    """
    told = os.environ.get("NUMBA_CACHE_DIR")
    home = os.environ.get("XDG_CACHE_HOME") or (os.environ.get("LOCALAPPDATA") if os.name == "nt" else None)
    top = Path(told) if told else Path(home or Path.home() / ".cache") / "tinytorch"
    files = sorted(Path(__file__).parent.rglob("*.py"))
    state = "".join(f"{file.name} {file.stat().st_size} {file.stat().st_mtime_ns};" for file in files)
    folder = top / "kernels" / hashlib.sha256(state.encode()).hexdigest()[:16]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError:
        return None
