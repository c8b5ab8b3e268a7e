"""`Cache`: what every cache offers, and the bookkeeping that they share."""

from __future__ import annotations

import copy
import json
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from tinytorch.attention import combine_masks
from tinytorch.layers import load_metadata, load_tensors, save_tensors
from tinytorch.tensor import Array, Tensor, array_of, check_int, default_dtype
from tinytorch.tensor.errors import DTypeError, FileFormatError, ShapeError

from .errors import CacheError, CacheFullError

PADDED = -1
"""In `Cache.tokens`, in place of an id: a position that nothing may attend to, left empty by padding."""

UNKNOWN = -2
"""In `Cache.tokens`, in place of an id: a token that was written without saying which it is."""


class StepLock:
    """A lock that its own thread may take again; a copy of it is another one."""

    def __init__(self) -> None:
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *error: object) -> None:
        self._lock.release()

    def __reduce__(self) -> tuple[Any, ...]:
        return StepLock, ()


class Cache(ABC):
    """The keys and values that attention computed for the tokens so far, of every layer, for `batch_size` sequences.

    In a step, the attention of each layer calls `update_and_fetch`, and `advance` then makes the new tokens part of the
    sequence. Before `advance` nothing has happened, and a step that failed half-way is simply written again. Each kind
    of cache defines how it stores (`_allocate`, `_write`, `_read`, `_select`, `buffers`, ...); the rules are here.

    `num_heads` counts the heads of keys and values (fewer than those of queries in grouped-query attention).
    `fingerprint` identifies the weights that the entries were computed with; None when no model was involved.
    """

    layout: ClassVar[tuple[str, ...]] = ("batch_size", "num_layers", "num_heads", "head_dim", "max_seq_len", "dtype")
    """The constructor's arguments, kept as attributes: what `save` writes and `load` builds from."""

    def __init__(
        self, batch_size: int, num_layers: int, num_heads: int, head_dim: int, max_seq_len: int | None = None,
        dtype: npt.DTypeLike | None = None,
    ) -> None:  # fmt: skip
        kind = type(self).__name__
        self.batch_size = check_int(kind, "batch_size", batch_size, 1)
        self.num_layers = check_int(kind, "num_layers", num_layers, 1)
        self.num_heads = check_int(kind, "num_heads", num_heads, 1)
        self.head_dim = check_int(kind, "head_dim", head_dim, 1)
        self.max_seq_len = None if max_seq_len is None else check_int(kind, "max_seq_len", max_seq_len, 1)
        self.dtype = np.dtype(default_dtype() if dtype is None else dtype)
        if self.dtype.kind != "f":
            raise DTypeError(f"{kind}: dtype {self.dtype} is not floating-point; use float32 or float64")
        self.seq_pos = 0
        self._written = [0] * num_layers  # how far each layer has come, beyond seq_pos while a step is under way
        self.fingerprint: str | None = None
        self.lock = StepLock()
        self._tokens: Array = np.empty((batch_size, 0), np.int64)
        self._allocate()

    # The step

    def update(self, layer_idx: int, key: Tensor | Array, value: Tensor | Array) -> None:
        """Write the keys and values of t new tokens, each (B, H, t, Dh), after what was advanced over; do not advance.

        Writing the same layer again before `advance` replaces what was written. Raises IndexError for a layer that does
        not exist, DTypeError for numbers that the cache's dtype cannot hold, ShapeError, CacheFullError for more than
        `max_seq_len` positions, and CacheError for a layer that missed an earlier step; then nothing is written.
        """
        keys, values = array_of(key), array_of(value)
        n = keys.shape[2] if keys.ndim == 4 else 0
        B, H, D = self.batch_size, self.num_heads, self.head_dim
        if not (n and keys.shape == values.shape == (B, H, n, D)):
            form = f"give ({B}, {H}, t, {D}) with t of at least 1"
            raise ShapeError(f"update: key {keys.shape} and value {values.shape} do not fit; {form}")
        same = keys.dtype == values.dtype == self.dtype
        if not same and not all(x.dtype.kind == "f" and np.can_cast(x.dtype, self.dtype) for x in (keys, values)):
            raise DTypeError(
                f"update: key is {keys.dtype} and value {values.dtype}, the cache holds {self.dtype}; "
                f"make it with dtype={np.result_type(keys, values)}, or convert them"
            )
        layer = self._layer(layer_idx)
        end = self._check_room(layer, n)
        self._write(layer, self.seq_pos, keys, values)
        self._written[layer] = end

    def reserve(self, n: int) -> list[Any] | None:
        """The storages of the layers, for code that writes n new positions of all layers itself before `advance`.

        A storage has `keys`, (B, H, Dh, capacity), and `values`, (B, H, capacity, Dh), whose entry `seq_pos` is the
        first of the new ones. None for a cache that stores otherwise. Raises CacheFullError and CacheError as `update`
        does; then nothing has changed.
        """
        return None

    def _check_room(self, layer: int, n: int) -> int:
        """Where n new positions of a layer end. Raises CacheFullError, and CacheError for one that missed a step."""
        end = self.seq_pos + n
        if self.max_seq_len is not None and end > self.max_seq_len:
            raise CacheFullError(
                f"update: position {end} is beyond max_seq_len={self.max_seq_len}, nothing was written; "
                "make a longer cache, or reset() this one"
            )
        if self._written[layer] < self.seq_pos:
            raise CacheError(
                f"update: layer {layer} holds {self._written[layer]} of {self.seq_pos} positions, it missed a step; "
                "update every layer before advance(), or reset()"
            )
        return end

    def update_and_fetch(self, layer_idx: int, key: Any, value: Any) -> tuple[Array, Array]:
        """`update`, then `view`: all keys and values that the t new queries attend to, in the dtypes of the new."""
        self.update(layer_idx, key, value)  # (B, H, t, Dh)
        keys, values = self._read(self._layer(layer_idx), self.seq_pos + key.shape[2])  # (B, H, S, Dh)
        if self.dtype is key.dtype and self.dtype is value.dtype:
            return keys, values
        return keys.astype(key.dtype, copy=False), values.astype(value.dtype, copy=False)

    def make_mask(self, n: int, mask: Any = None) -> Any:
        """`mask` over all positions, (..., seq_pos + n), as one over what `update_and_fetch` returns, (..., S).

        It also forbids what `visible` does. None lets each of the n queries see all up to itself.
        """
        visible = self.visible(n)
        if mask is not None and mask.shape[-1] > 1 and len(positions := self.positions(n)) < mask.shape[-1]:
            mask = mask[..., positions]  # the cache has dropped some
        if visible is None:
            return mask
        return visible if mask is None else np.asarray(combine_masks(mask, visible))

    def advance(self, n: int = 1, tokens: npt.ArrayLike | None = None) -> None:
        """Make the n positions that were written part of the sequence; `tokens` (B, n), integers, are their ids.

        Raises CacheError when no layer has n new positions, ShapeError or DTypeError for other `tokens`.
        """
        end = self.seq_pos + n
        written = max(self._written) - self.seq_pos
        if not 0 <= n <= written:
            raise CacheError(f"advance: by {n} positions, but {written} were written; update() the layers first")
        ids = np.full((self.batch_size, n), UNKNOWN) if tokens is None else as_ids("advance", tokens)
        if ids.shape != (self.batch_size, n):
            raise ShapeError(f"advance: tokens of shape {ids.shape} for {n} positions of {self.batch_size} sequences")
        if end > self._tokens.shape[1]:
            longer = np.full((self.batch_size, max(end, 2 * self._tokens.shape[1])), UNKNOWN)
            longer[:, : self.seq_pos] = self._tokens[:, : self.seq_pos]
            self._tokens = longer
        self._tokens[:, self.seq_pos : end] = ids
        self.seq_pos = end
        self._advanced()

    def view(self, layer_idx: int, n: int = 0) -> tuple[Array, Array]:
        """Keys and values of a layer, each (B, H, S, Dh): what was advanced over and the n positions written since.

        Their positions are `positions(n)`. Raises CacheError when the layer was not written that far.
        """
        layer = self._layer(layer_idx)
        end = self.seq_pos + n
        if end > self._written[layer]:
            held = self._written[layer]
            raise CacheError(f"get: layer {layer} holds {held} of {end} positions; update() it before advance()")
        return self._read(layer, end)

    def get(self, layer_idx: int) -> tuple[Tensor, Tensor]:
        """Keys and values of a layer, each (B, H, S, Dh), of what was advanced over; views where the storage allows."""
        keys, values = self.view(layer_idx)
        return Tensor(keys, dtype=keys.dtype), Tensor(values, dtype=values.dtype)

    def positions(self, n: int = 0) -> Array:
        """The position in the sequence, (S,) int64, of each entry that `view(layer_idx, n)` returns."""
        return np.arange(self.seq_pos + n)

    def visible(self, n: int) -> Array | None:
        """Which entries of `view(layer_idx, n)` the n new queries may see, (n, S) bool; None: all up to themselves."""
        return None

    # The sequence

    @property
    def tokens(self) -> Array:
        """The ids of the tokens that the cache holds, (B, seq_pos) int64, PADDED or UNKNOWN where there is none."""
        return self._tokens[:, : self.seq_pos]

    @property
    def rewindable(self) -> int:
        """The smallest number of positions, besides 0, that `truncate` can go back to."""
        return 0

    def truncate(self, n: int) -> None:
        """Forget all but the first n positions. Raises CacheError for n beyond seq_pos or below `rewindable`."""
        if not (n == 0 or self.rewindable <= n <= self.seq_pos):
            possible = f"from {self.rewindable} to {self.seq_pos} are possible"
            raise CacheError(f"truncate: to {n} positions, where {possible}; reset() starts over")
        self._written = [min(written, n) for written in self._written]
        self.seq_pos = n
        self._truncated()

    def reset(self, batch_size: int | None = None) -> None:
        """Forget everything; with `batch_size`, make room for that many sequences."""
        self.truncate(0)
        self.fingerprint = None
        if batch_size is not None and batch_size != self.batch_size:
            self.batch_size = check_int("reset", "batch_size", batch_size, 1)
            self._tokens = np.empty((batch_size, 0), np.int64)
            self._allocate()

    def resume(self, tokens: npt.ArrayLike) -> int:
        """Keep the longest beginning of `tokens` (B, T) that the cache holds, forget the rest; returns its length."""
        tokens = as_ids("resume", tokens)
        n = min(self.seq_pos, tokens.shape[1])
        held, given = self._tokens[:, :n], tokens[:, :n]
        if held.tobytes() != given.tobytes():  # in a generation all are equal, and this is the fastest way to see it
            n = int((held == given).all(axis=0).argmin())
        if n < self.seq_pos:
            self.truncate(n if n >= self.rewindable else 0)
        return self.seq_pos

    def reorder(self, indices: Sequence[int] | Array) -> None:
        """Let sequence i become what sequence `indices[i]` was; as many as indices. Raises IndexError for others."""
        rows = np.asarray(indices)
        B = self.batch_size
        if rows.ndim != 1 or rows.dtype.kind not in "iu" or not rows.size or not 0 <= rows.min() <= rows.max() < B:
            raise IndexError(
                f"reorder: {rows.tolist()} are not sequences of this cache; give integers from 0 to {B - 1}"
            )
        self._written = [min(written, self.seq_pos) for written in self._written]
        self._select(rows)
        self._tokens = self._tokens[rows]
        self.batch_size = len(rows)

    def copy(self) -> Self:
        """A cache of its own with the same content."""
        return copy.deepcopy(self)

    # What it takes

    @property
    def nbytes(self) -> int:
        """Bytes allocated for keys and values (and scales, where there are any)."""
        return sum(buffer.nbytes for buffer in self.buffers())

    def get_memory_usage(self) -> dict[str, float]:
        """What is allocated: `total_mb` and `per_layer_mb` (10**6 bytes), `cache_tensors`, `total_elements`."""
        buffers = self.buffers()
        megabytes = {"total_mb": self.nbytes / 1e6, "per_layer_mb": self.nbytes / self.num_layers / 1e6}
        return {**megabytes, "cache_tensors": len(buffers), "total_elements": sum(buffer.size for buffer in buffers)}

    def __repr__(self) -> str:
        limit = "" if self.max_seq_len is None else f" of {self.max_seq_len}"
        heads = f"{self.num_layers} layers, {self.num_heads} heads of {self.head_dim}"
        size = f"{self.dtype}, {self.nbytes / 1e6:.2f} MB"
        return f"{type(self).__name__}({self.seq_pos}{limit} positions, batch {self.batch_size}, {heads}, {size})"

    # On disk

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write what the cache holds to a safetensors file, atomically."""
        for layer, written in enumerate(self._written):
            if written < self.seq_pos:
                raise CacheError(f"save: layer {layer} holds {written} of {self.seq_pos} positions; update every layer")
        layout = {name: getattr(self, name) for name in self.layout}
        metadata = {"kind": type(self).__name__, "fingerprint": self.fingerprint or ""}
        metadata["layout"] = json.dumps(layout, default=str)
        save_tensors({"tokens": self.tokens, **self._content()}, path, metadata)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """A cache like the one that was saved. Raises FileFormatError for a file that is damaged or of another kind."""
        content, metadata = load_tensors(path), load_metadata(path)
        kind = metadata.get("kind", "no cache")
        if kind != cls.__name__:
            raise FileFormatError(f"load: {path} holds {kind}, not {cls.__name__}; load it with that class")
        try:
            cache = cls._from_layout(json.loads(metadata["layout"]))
            cache.fingerprint = metadata["fingerprint"] or None
            cache._restore(content)
        except (ValueError, TypeError, KeyError, IndexError, MemoryError) as error:
            raise FileFormatError(f"load: {path} is not a complete {kind}: {error}; save() it again") from error
        return cache

    @classmethod
    def _from_layout(cls, layout: dict[str, Any]) -> Self:
        return cls(**layout)

    def _restore(self, content: dict[str, Array]) -> None:
        tokens = content["tokens"]
        n = tokens.shape[1]
        if tokens.shape != (self.batch_size, n) or tokens.dtype != np.int64 or n > (self.max_seq_len or n):
            raise ValueError(f"tokens is {tokens.dtype} {tokens.shape}")
        self._tokens, self.seq_pos, self._written = tokens.copy(), n, [n] * self.num_layers
        self._fill(content)
        if extra := content.keys() - {"tokens", *self._content()}:
            raise ValueError(f"nothing takes {', '.join(sorted(extra))}")

    # What each kind defines

    @abstractmethod
    def buffers(self) -> list[Array]:
        """The arrays that are allocated."""

    @abstractmethod
    def _allocate(self) -> None:
        """Make empty storage for `batch_size` sequences."""

    @abstractmethod
    def _write(self, layer: int, start: int, keys: Array, values: Array) -> None:
        """Store (B, H, t, Dh) for the positions from `start` on."""

    @abstractmethod
    def _read(self, layer: int, end: int) -> tuple[Array, Array]:
        """Keys and values (B, H, S, Dh) of the positions before `end` that are stored."""

    @abstractmethod
    def _select(self, rows: Array) -> None:
        """Take the sequences `rows`, in that order."""

    @abstractmethod
    def _content(self) -> dict[str, Array]:
        """What is stored for the positions before seq_pos, for a file."""

    @abstractmethod
    def _fill(self, content: dict[str, Array]) -> None:
        """Store what was read from a file, for the positions before seq_pos; ValueError where it does not fit."""

    def _advanced(self) -> None:  # noqa: B027  most caches have nothing to do
        """The sequence has become longer."""

    def _truncated(self) -> None:  # noqa: B027
        """The sequence has become shorter."""

    def _layer(self, layer_idx: int) -> int:
        if not 0 <= layer_idx < self.num_layers:
            raise IndexError(f"layer {layer_idx}: the cache has {self.num_layers}, from 0 to {self.num_layers - 1}")
        return layer_idx


def as_ids(name: str, tokens: npt.ArrayLike) -> Array:
    """Tokens in one dtype, int64, whichever integers they are. Raises DTypeError for others."""
    ids = array_of(tokens)
    if ids.dtype.kind not in "iu":
        raise DTypeError(f"{name}: tokens of dtype {ids.dtype}; they are integers, convert with astype('int64')")
    return ids.astype(np.int64, copy=False)
