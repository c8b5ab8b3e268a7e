"""Switching the kernels on and off."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock

from tinytorch.tensor import handlers, pop, push

from .compiling import load_numba
from .reporting import Report, report
from .serving import handler

_switching = Lock()


def import_kernels() -> None:
    """Import the kernels of this stage, which register themselves."""
    from .kernels import (  # noqa: F401
        activations,
        attention,
        classes,
        convolution,
        decoding,
        embedding,
        norms,
        pooling,
        updates,
    )


_imports: list[Callable[[], object]] = [import_kernels]


def on_enable(import_kernels: Callable[[], object]) -> None:
    """Call `import_kernels` when acceleration is enabled, and not before: modules of kernels may import Numba.

    >>> from tinytorch.acceleration import on_enable
    >>> def import_kernels():
    ...     from tinytorch.acceleration.kernels import activations
    >>> on_enable(import_kernels)
    """
    with _switching:
        if import_kernels not in _imports:
            _imports.append(import_kernels)
    if is_accelerated():
        import_kernels()


def enable_acceleration() -> None:
    """Compute with compiled kernels from now on, forward, backward and in updates, on all cores.

    It is process-wide. What no kernel serves is computed by NumPy as before; `report()` counts it. The first use of a
    kernel compiles it, which takes a second or so, once for a machine. Calling this again changes nothing.

    Raises AccelerationError where Numba is missing; then nothing is enabled.

    >>> from tinytorch.acceleration import disable_acceleration, enable_acceleration
    >>> enable_acceleration()
    >>> disable_acceleration()
    """
    load_numba()
    for import_kernels in tuple(_imports):
        import_kernels()
    with _switching:
        if handler not in handlers():
            push(handler)


def disable_acceleration() -> None:
    """Compute with NumPy again: everything is as it was. Changes nothing when acceleration is off."""
    with _switching:
        if handler in handlers():
            pop(handler)


def is_accelerated() -> bool:
    """Whether kernels compute now."""
    return handler in handlers()


@contextmanager
def accelerating() -> Iterator[Report]:
    """Acceleration within a with block; afterwards it is on or off as before. Raises as `enable_acceleration` does.

    The block's own report, of what was computed within it, is complete when the block ends.

    >>> from tinytorch.acceleration import accelerating
    >>> with accelerating() as during:
    ...     pass
    >>> print(during)
                                    kernel     NumPy
    """
    before, start, during = is_accelerated(), report(), Report()
    enable_acceleration()
    try:
        yield during
    finally:
        if not before:
            disable_acceleration()
        during.update(report().since(start))
