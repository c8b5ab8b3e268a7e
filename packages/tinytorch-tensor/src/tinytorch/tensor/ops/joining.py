"""Several tensors made one, and one cut into several."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.exceptions import AxisError

from ..checks import check_int
from ..dispatch import primitive
from ..dtypes import Array
from ..errors import ShapeError
from ..tensor import Tensor
from .reductions import axis_error, normalize_axis
from .shaping import as_shape, flatten, unsqueeze

__all__ = ["chunk", "concat", "concatenate", "split", "stack", "unbind"]


@primitive
def concatenate(*parts: Any, axis: int = 0) -> Array:
    """What `concat` does with its list, as a primitive of any number of inputs."""
    try:
        return np.concatenate(parts, axis=axis)
    except (AxisError, TypeError):
        raise axis_error("concat", parts[0], axis) from None
    except ValueError:
        shapes = ", ".join(str(np.shape(part)) for part in parts)
        raise ShapeError(
            f"concat: {shapes or 'no tensors'} along axis {axis}; all other axes must be equal, and there must be one"
        ) from None


def concat(tensors: Any, axis: int | None = 0) -> Tensor:
    """The tensors one after another along `axis`; with None, the elements of all of them in one row.

    >>> concat([Tensor([1, 2]), Tensor([3])])
    Tensor([1, 2, 3])
    """
    parts = _to_list("concat", tensors)
    if axis is None:
        return concatenate(*(flatten(part) for part in parts), axis=0)
    return concatenate(*parts, axis=axis)


def stack(tensors: Any, axis: int = 0) -> Tensor:
    """The tensors side by side along a new axis `axis`. Raises ValueError when their shapes differ."""
    parts = _to_list("stack", tensors)
    shapes = {np.shape(part) for part in parts}
    if len(shapes) != 1:
        raise ShapeError(f"stack: shapes {sorted(shapes)}; there must be one shape, the same for all")
    place = normalize_axis("stack", parts[0], axis, extra=1)
    return concatenate(*(unsqueeze(part, place) for part in parts), axis=place)


def _to_list(name: str, tensors: Any) -> list[Any]:
    try:
        return list(tensors)
    except TypeError:
        raise TypeError(f"{name}: the tensors are a {type(tensors).__name__}; give several in a list") from None


def split(x: Any, sizes: Any, axis: int = 0) -> tuple[Tensor, ...]:
    """x cut along `axis` into pieces of the given `sizes`, ints, or of one size each (the last may be smaller).

    >>> split(Tensor([1, 2, 3]), 2)
    (Tensor([1, 2]), Tensor([3]))
    """
    place = normalize_axis("split", x, axis)
    total = np.shape(x)[place]
    if isinstance(sizes, bool | float | str | np.floating):
        raise TypeError(f"split: pieces of {sizes!r}; give the size of all pieces, an int, or a list of their sizes")
    if np.ndim(sizes) == 0:
        size = int(sizes)
        if size < 1:
            raise ValueError(f"split: pieces of {size}; a piece needs at least one element")
        sizes = [min(size, total - start) for start in range(0, total, size)] or [0]
    sizes = as_shape("split", list(sizes))
    if sum(sizes) != total or min(sizes, default=0) < 0:
        raise ShapeError(f"split: sizes {list(sizes)} do not add up to the {total} elements of axis {axis}")
    x = x if isinstance(x, Tensor) else Tensor(x)
    pieces, start = [], 0
    for size in sizes:
        pieces.append(x[(slice(None),) * place + (slice(start, start + size),)])
        start += size
    return tuple(pieces)


def chunk(x: Any, chunks: int, axis: int = 0) -> tuple[Tensor, ...]:
    """x cut along `axis` into `chunks` pieces of one size, the last smaller or left out where they do not divide it.

    >>> chunk(Tensor([1, 2, 3]), 2)
    (Tensor([1, 2]), Tensor([3]))
    """
    n = np.shape(x)[normalize_axis("chunk", x, axis)]
    chunks = check_int("chunk", "chunks", chunks, minimum=1)
    return split(x, max(1, -(-n // chunks)), axis)


def unbind(x: Any, axis: int = 0) -> tuple[Tensor, ...]:
    """What stands at each place of `axis`, without that axis.

    >>> unbind(Tensor([[1, 2], [3, 4]]), axis=1)
    (Tensor([1, 3]), Tensor([2, 4]))
    """
    before = (slice(None),) * normalize_axis("unbind", x, axis)
    x = x if isinstance(x, Tensor) else Tensor(x)
    return tuple(x[(*before, place)] for place in range(x.shape[len(before)]))
