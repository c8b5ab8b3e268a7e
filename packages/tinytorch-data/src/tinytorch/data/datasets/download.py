"""Files from elsewhere: downloaded once, checked every time, or put in place by hand."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from tinytorch.tensor import replacing

from ..errors import DownloadError

SECONDS = 30  # without a byte before a mirror counts as dead
LEAST_SPEED = 10_000  # bytes per second, on average after the first 30 seconds
CHUNK = 1 << 16


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
        import ssl

        import certifi
        from tqdm import tqdm  # type: ignore[import-untyped]
    except ImportError as error:
        raise ImportError(
            f'{wanted} is not in {path.parent}, and downloading needs: pip install "tinytorch-data[download]"\n'
            f"or put the file at {path}"
        ) from error
    trusted = ssl.create_default_context(cafile=certifi.where())
    failures: list[str] = []
    cause: Exception | None = None
    for url in file.urls:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            bar = tqdm(total=file.size, desc=file.name, unit="B", unit_scale=True, disable=not progress)
            with bar, replacing(path) as draft:
                _download(url, draft, file, trusted, bar)
        except (OSError, HTTPException, ValueError) as error:
            if isinstance(error, HTTPError):
                error.close()
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


def _download(url: str, path: Path, file: RemoteFile, trusted: Any, bar: Any) -> None:
    """Write what `url` sends to `path`; give up on other bytes, more bytes, or bytes that come too slowly."""
    deadline = monotonic() + SECONDS + file.size / LEAST_SPEED
    request = Request(url, headers={"User-Agent": "tinytorch-data", "Accept-Encoding": "identity"})
    left = file.size
    with urlopen(request, timeout=SECONDS, context=trusted) as response, path.open("wb") as target:
        while chunk := response.read1(CHUNK):
            left -= len(chunk)
            if left < 0:
                raise ValueError(f"{url}: more than the {file.size:,} bytes of {file.name}")
            if monotonic() > deadline:
                raise TimeoutError(f"{url}: slower than {LEAST_SPEED:,} bytes per second")
            target.write(chunk)
            bar.update(len(chunk))
    _check(path, file)


def _reason(url: str, error: Exception) -> str:
    named = f"HTTP {error.code}" if isinstance(error, HTTPError) else type(error).__name__
    what = "wrong bytes" if isinstance(error, ValueError) else named
    return f"{urlsplit(url).hostname}: {what}"
