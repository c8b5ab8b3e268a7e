"""Files from elsewhere: downloaded once, checked every time, or put in place by hand."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

SECONDS = 30  # without a byte before a mirror counts as dead
CHUNK = 1 << 16


@dataclass(frozen=True)
class RemoteFile:
    """A file with a known size in bytes and SHA-256, and the places that have it."""

    name: str
    size: int
    sha256: str
    urls: tuple[str, ...]


def cache_folder() -> Path:
    """Where downloads are kept: `$TINYTORCH_DATA`, else `tinytorch` in the user's cache folder."""
    if chosen := os.environ.get("TINYTORCH_DATA"):
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").expanduser() / "tinytorch"


def fetch(file: RemoteFile, folder: str | Path | None = None, *, progress: bool = False, verify: bool = True) -> Path:
    """The path of `file` in `folder` (the cache folder when left out), downloaded from the first mirror that has it.

    A file that is there is taken once its checksum is right, and never overwritten; `verify=False` takes it as it is.
    Downloading needs the extra `download`. Raises ValueError for a file with other content, ImportError without the
    extra, OSError when no mirror gives the file.
    """
    path = Path(folder or cache_folder()).expanduser() / file.name
    if path.exists():
        if verify:
            _check(path, file)
        return path
    wanted = f"{file.name} ({file.size:,} bytes, SHA-256 {file.sha256})"
    try:
        import pooch  # type: ignore[import-untyped]
    except ImportError as error:
        raise ImportError(
            f'{wanted} is not in {path.parent}, and downloading needs: pip install "tinytorch-data[download]"\n'
            f"or put the file at {path}"
        ) from error
    failures: list[Exception] = []
    for url in file.urls:
        try:
            with _quiet(pooch.get_logger()):
                known = f"sha256:{file.sha256}"
                pooch.retrieve(url, known, file.name, path.parent, downloader=_Download(file, progress))
        except (OSError, ValueError) as error:
            failures.append(error)
        else:
            return path
    reasons = [_reason(url, error) for url, error in zip(file.urls, failures, strict=True)] or ["it names no mirror"]
    cause = failures[-1] if failures else None
    raise OSError(f"{wanted} could not be downloaded: {'; '.join(reasons)}\nput the file at {path}") from cause


def _check(path: Path, file: RemoteFile) -> None:
    with path.open("rb") as source:
        found = hashlib.file_digest(source, "sha256").hexdigest()
    if found != file.sha256:
        raise ValueError(
            f"{path}: SHA-256 {found}, expected {file.sha256}; "
            "the file is damaged or another one: move it away to download it again"
        )


class _Download:
    """What pooch calls to get a URL into a file: gives up as soon as more bytes come than the file has."""

    def __init__(self, file: RemoteFile, progress: bool) -> None:
        self.file = file
        self.progress = progress

    def __call__(self, url: str, path: str, _: Any) -> None:
        import requests
        from tqdm import tqdm  # type: ignore[import-untyped]

        file = self.file
        with (
            requests.get(url, stream=True, timeout=SECONDS, headers={"Accept-Encoding": "identity"}) as response,
            open(path, "wb") as target,
            tqdm(
                total=self.file.size, desc=self.file.name, unit="B", unit_scale=True, disable=not self.progress
            ) as bar,
        ):
            response.raise_for_status()
            left = file.size
            for chunk in response.iter_content(CHUNK):
                left -= len(chunk)
                if left < 0:
                    raise ValueError(f"{url}: more than the {file.size:,} bytes of {file.name}")
                target.write(chunk)
                bar.update(len(chunk))


@contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def _reason(url: str, error: Exception) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    what = "wrong bytes" if isinstance(error, ValueError) else f"HTTP {status}" if status else type(error).__name__
    return f"{urlsplit(url).hostname}: {what}"
