"""Tiny Shakespeare: 40,000 lines of the plays."""

from __future__ import annotations

from pathlib import Path

from .download import RemoteFile, fetch

TEXT = RemoteFile(
    "tinyshakespeare.txt",
    1115394,
    "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
    (
        "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
        "https://storage.googleapis.com/download.tensorflow.org/data/shakespeare.txt",
    ),
)


def shakespeare(folder: str | Path | None = None, *, progress: bool = False, verify: bool = True) -> str:
    """1,115,394 characters of Shakespeare's plays, as Karpathy's char-rnn (2015) has them.

    The file is taken from `folder` or downloaded to it (the cache folder when left out), see `fetch`.
    Raises OSError when it cannot be had, ValueError when the file is another one or no plain text.
    """
    path = fetch(TEXT, folder, progress=progress, verify=verify)
    if path.stat().st_size > 4 * TEXT.size:
        raise ValueError(f"{path}: {path.stat().st_size:,} bytes; tiny Shakespeare has {TEXT.size:,}")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not text ({error}); get the file again") from error
