"""The files of a checkpoint: what they say and which arrays they hold."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any, TypeVar

from safetensors import SafetensorError, safe_open

from tinytorch.layers import load_tensors
from tinytorch.tensor import Array

T = TypeVar("T")

LARGEST_JSON = 64 * 2**20
"""No configuration or index is larger; a file that is will not be read into memory."""


class Checkpoint:
    """A folder with `config.json`, and one safetensors file or several with an index."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise FileNotFoundError(
                f"load_pretrained: there is no folder {folder}; name the one that holds config.json"
            )
        self.folder = folder
        self.config = _json(folder / "config.json")
        self.files = self._files()

    def require(self, **expected: Any) -> None:
        """Refuse a configuration in which one of these options is set to something else."""
        for name, value in expected.items():
            found = self.config.get(name, value)
            if found != value:
                raise ValueError(
                    f"load_pretrained: {self.folder / 'config.json'} sets {name} to {found!r}; only {value!r} is known"
                )

    def option(self, name: str, *default: Any) -> Any:
        """What the configuration says, or the default where there is one."""
        if name not in self.config and not default:
            raise ValueError(f"load_pretrained: {self.folder / 'config.json'} does not say {name}; it must")
        return self.config.get(name, *default)

    def one_of(self, name: str, known: Mapping[str, T]) -> T:
        """What an option's value means here."""
        value = self.option(name)
        if value not in known:
            raise ValueError(
                f"load_pretrained: {self.folder / 'config.json'} sets {name} to {value!r}; known are {', '.join(known)}"
            )
        return known[value]

    def names(self) -> Iterator[str]:
        """The name of every array."""
        for file in self.files:
            try:
                with safe_open(file, framework="numpy") as opened:
                    yield from opened.keys()
            except SafetensorError as error:
                raise ValueError(f"load_pretrained: {file} is truncated or no safetensors file: {error}") from None

    def arrays(self) -> Iterator[tuple[str, Array]]:
        """Every array with its name, file by file, so that one file at a time is in memory."""
        for file in self.files:
            yield from load_tensors(file).items()

    def _files(self) -> list[Path]:
        single, index = self.folder / "model.safetensors", self.folder / "model.safetensors.index.json"
        if single.is_file():
            return [single]
        if not index.is_file():
            raise FileNotFoundError(
                f"load_pretrained: {self.folder} has neither {single.name} nor {index.name}; "
                "save the model with save_pretrained(folder) in transformers, files of other kinds are not read"
            )
        named = _json(index).get("weight_map")
        if not isinstance(named, dict) or not named:
            raise ValueError(f"load_pretrained: {index} has no weight_map; it says which file holds which weight")
        for name in named.values():
            if not isinstance(name, str) or PurePath(name).name != name or not name.endswith(".safetensors"):
                raise ValueError(
                    f"load_pretrained: {index} names the file {name!r}; files lie beside it, as *.safetensors"
                )
        files = [self.folder / name for name in sorted(set(named.values()))]
        for file in files:
            if not file.is_file():
                raise FileNotFoundError(
                    f"load_pretrained: {index.name} names {file.name}, which is not in {self.folder}"
                )
        return files


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"load_pretrained: {path.parent} has no {path.name}; download the whole folder")
    if path.stat().st_size > LARGEST_JSON:
        raise ValueError(f"load_pretrained: {path} has {path.stat().st_size:,} bytes; that is no configuration")
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"load_pretrained: {path} is no JSON: {error}; download it again") from None
    if not isinstance(content, dict):
        raise ValueError(f"load_pretrained: {path} holds a {type(content).__name__}; it must be an object")
    return content
