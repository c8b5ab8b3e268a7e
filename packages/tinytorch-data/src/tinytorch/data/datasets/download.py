"""Files from elsewhere: downloaded once, checked every time, or put in place by hand."""

from __future__ import annotations

import hashlib
import os
from contextlib import ExitStack
from dataclasses import dataclass
from io import BufferedWriter, FileIO
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

from tinytorch.tensor import replacing

from ..errors import DownloadError

SECONDS = 30  # without a byte before a mirror counts as dead
LEAST_SPEED = 10_000  # bytes per second, on average after the first 30 seconds
CHUNK = 1 << 10  # bytes between two looks at the clock


@dataclass(frozen=True)
class RemoteFile:
    """A file of known size in bytes and SHA-256, and where to get it. Raises ValueError for a name with folders."""

    name: str
    size: int
    sha256: str
    urls: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.name in ("", ".", "..") or "/" in self.name or "\\" in self.name:
            raise ValueError(f"RemoteFile: name {self.name!r} is not the name of a file; give folders to fetch")


def cache_folder() -> Path:
    """Where downloads are kept: `$TINYTORCH_DATA`, else `tinytorch` in the user's cache folder."""
    if chosen := os.environ.get("TINYTORCH_DATA"):
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").expanduser() / "tinytorch"


def fetch(file: RemoteFile, folder: str | Path | None = None, *, progress: bool = False, verify: bool = True) -> Path:
    """The path of `file` in `folder` (the cache folder when left out), downloaded from the first mirror that has it.

    A file that is there is taken once its checksum is right, and never overwritten; `verify=False` takes it as it is.
    A mirror that sends nothing for 30 seconds, or less than 10 kB per second on average, is given up. Downloading needs
    the extra `download`. Raises ValueError for a file with other content, ImportError without the extra, DownloadError
    (an OSError) when no mirror gives the file.
    """
    path = Path(folder or cache_folder()).expanduser() / file.name
    if path.exists():
        if verify:
            _check(path, file)
        return path
    wanted = f"{file.name} ({file.size:,} bytes, SHA-256 {file.sha256})"
    try:
        from pooch import HTTPDownloader  # type: ignore[import-untyped]
        from tqdm import tqdm  # type: ignore[import-untyped]
    except ImportError as error:
        raise ImportError(
            f'{wanted} is not in {path.parent}, and downloading needs: pip install "tinytorch-data[download]"\n'
            f"or put the file at {path}"
        ) from error
    responses = ExitStack()  # pooch leaves them open
    hooks = {"response": lambda response, **_: responses.enter_context(response)}
    headers = {"User-Agent": "tinytorch-data", "Accept-Encoding": "identity"}
    download = HTTPDownloader(chunk_size=CHUNK, timeout=SECONDS, headers=headers, hooks=hooks)
    shown = {"desc": file.name, "disable": not progress}
    failures: list[str] = []
    cause: Exception | None = None
    for url in file.urls:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with responses, replacing(path) as draft:
                with _Target(draft, file) as target, tqdm.wrapattr(target, "write", file.size, **shown) as watched:
                    download(url, watched, None)
                _check(draft, file)
        except (OSError, ValueError) as error:
            failures.append(_reason(url, error))
            cause = error
        else:
            return path
    why = "; ".join(failures) or "it names no mirror"
    raise DownloadError(f"{wanted} could not be downloaded: {why}\nput the file at {path}") from cause


def _check(path: Path, file: RemoteFile) -> None:
    with path.open("rb") as source:
        found = hashlib.file_digest(source, "sha256").hexdigest()
    if found != file.sha256:
        raise ValueError(
            f"{path}: SHA-256 {found}, expected {file.sha256}; "
            "the file is damaged or another one: move it away to download it again"
        )


class _Target(BufferedWriter):
    """Where the bytes of `file` are written; gives up on more of them than it has, or when they come too slowly."""

    def __init__(self, path: Path, file: RemoteFile) -> None:
        super().__init__(FileIO(path, "wb"))
        self.left = file.size
        self.deadline = monotonic() + SECONDS + file.size / LEAST_SPEED

    def write(self, chunk: Any) -> int:
        self.left -= len(chunk)
        if self.left < 0:
            raise ValueError("more bytes than the file has")
        if monotonic() > self.deadline:
            raise TimeoutError(f"slower than {LEAST_SPEED:,} bytes per second")
        return super().write(chunk)


def _reason(url: str, error: Exception) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    what = f"HTTP {status}" if status else "wrong bytes" if type(error) is ValueError else type(error).__name__
    return f"{urlsplit(url).hostname}: {what}"
