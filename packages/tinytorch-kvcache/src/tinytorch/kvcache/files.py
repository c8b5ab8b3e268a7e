"""Caches as safetensors files."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from tinytorch.tensor import Array


def write(path: str | os.PathLike[str], kind: str, layout: dict[str, Any], content: dict[str, Array]) -> None:
    """Put it all in a file of the same folder first, so that at no moment there is half a file under `path`."""
    path = Path(path)
    metadata = {"kind": kind, "layout": json.dumps(layout, default=str)}
    data = save({name: np.ascontiguousarray(array) for name, array in content.items()}, metadata)
    handle, partial = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        os.unlink(partial)
        raise


def read(path: str | os.PathLike[str], kind: str, names: tuple[str, ...]) -> tuple[dict[str, Any], dict[str, Array]]:
    """The layout and the arrays of a file that `write` wrote."""
    with complaining(path), safe_open(path, framework="numpy") as file:
        metadata = file.metadata() or {}
        if metadata.get("kind") != kind:
            raise ValueError(f"it holds {metadata.get('kind', 'no cache')}, not {kind}")
        layout = json.loads(metadata["layout"])
        if not isinstance(layout, dict) or layout.keys() != set(names):
            raise ValueError(f"its layout is {layout}")
        return layout, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a dict


@contextmanager
def complaining(path: str | os.PathLike[str]) -> Iterator[None]:
    """Say which file it was that could not be read."""
    try:
        yield
    except (SafetensorError, ValueError, TypeError, KeyError, IndexError, MemoryError) as error:
        raise ValueError(
            f"load: {os.fspath(path)} is no cache that can be read: {error}; compute it again, and save() it"
        ) from error
