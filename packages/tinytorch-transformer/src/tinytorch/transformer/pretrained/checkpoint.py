"""The files of a checkpoint: what they say and which arrays they hold."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path, PurePath
from typing import Any, TypeVar

from tinytorch.layers import TensorFile
from tinytorch.tensor import FileFormatError

T = TypeVar("T")

LARGEST_JSON = 64 * 2**20  # bytes: no configuration or index is larger


class Checkpoint(ExitStack):
    """A folder with `config.json`, and one safetensors file or several with an index, open while it is used."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        if not folder.is_dir():
            raise FileNotFoundError(f"load_pretrained: {folder} is not a folder; name the one that holds config.json")
        self.folder = folder
        self.config = _json(folder / "config.json")
        self.files: list[TensorFile] = []

    def open(self) -> Checkpoint:
        """Open the files of the weights; they are closed when the checkpoint is left."""
        self.files = [self.enter_context(TensorFile(path)) for path in self._paths()]
        return self

    def wrong(self, what: Any) -> FileFormatError:
        """The error that says what is wrong with the configuration."""
        return FileFormatError(f"load_pretrained: {self.folder / 'config.json'}: {what}")

    def require(self, **expected: Any) -> None:
        """Refuse a configuration in which one of these options is set to something else."""
        for name, value in expected.items():
            if (found := self.config.get(name, value)) != value:
                raise self.wrong(f"{name} is {found!r}; only {value!r} is known")

    def one_of(self, name: str, known: Mapping[str, T], default: str) -> T:
        """What an option's value means here."""
        value = self.config.get(name, default)
        if not isinstance(value, str) or value not in known:
            raise self.wrong(f"{name} is {value!r}; known are {', '.join(known)}")
        return known[value]

    def stop_tokens(self, default: int, vocab_size: int) -> tuple[int, ...]:
        """The tokens that end a text: `eos_token_id` of `generation_config.json` if that is there, or `config.json`."""
        path = self.folder / "generation_config.json"
        said = _json(path) if path.is_file() else {"eos_token_id": self.config.get("eos_token_id", default)}
        eos = said.get("eos_token_id")
        tokens = eos if isinstance(eos, list) else [] if eos is None else [eos]
        if not all(type(token) is int for token in tokens):
            raise self.wrong(f"eos_token_id is {eos!r}; it is a token or a list of tokens")
        return tuple(token for token in tokens if token < vocab_size)  # small models name some that they do not have

    def _paths(self) -> list[Path]:
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
            raise FileFormatError(f"load_pretrained: {index} has no weight_map; it says which file holds which weight")
        for name in named.values():
            if not isinstance(name, str) or PurePath(name).name != name or not name.endswith(".safetensors"):
                raise FileFormatError(f"load_pretrained: {index}: {name!r} is not a *.safetensors in the same folder")
        return [self.folder / name for name in sorted(set(named.values()))]


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"load_pretrained: {path.parent} has no {path.name}; download the whole folder")
    if path.stat().st_size > LARGEST_JSON:
        raise FileFormatError(f"load_pretrained: {path} has {path.stat().st_size:,} bytes; that is not a configuration")
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"load_pretrained: {path} is not JSON: {error}; download it again") from None
    if not isinstance(content, dict):
        raise FileFormatError(f"load_pretrained: {path} holds a {type(content).__name__}; it must be an object")
    return content
