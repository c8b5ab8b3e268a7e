"""Writing files so that nothing is lost: a reader, or a crash, sees the old content or the new one, never a part."""

from __future__ import annotations

import os
import secrets
import socket
import stat
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_HOST = f"{zlib.crc32(socket.gethostname().encode()):08x}"  # a folder may be shared with other machines
_DAY = 24 * 60 * 60.0


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A draft next to `path` to write to. It replaces `path` in one step when the block ends without error.

    A symbolic link stays and the file that it points to is replaced; an existing file keeps its mode. After an error
    the old content is still there. Drafts that killed processes left in the folder are removed.
    Raises FileNotFoundError when the folder does not exist, IsADirectoryError for a folder, FileExistsError for a
    device or pipe, OSError when the file cannot be written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with replacing(f"{folder}/notes.txt") as draft:
    ...         _ = draft.write_text("whole")
    ...     Path(folder, "notes.txt").read_text(), len(os.listdir(folder))
    ('whole', 1)
    """
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise FileNotFoundError(f"save: there is no folder {target.parent}; create it first")
    if target.is_dir():
        raise IsADirectoryError(f"save: {path} is a folder; name a file in it")
    if target.exists() and not target.is_file():
        raise FileExistsError(f"save: {path} is a device or pipe, which a file would replace; choose another path")
    _sweep(target.parent)
    draft = target.with_name(f".tinytorch-{_HOST}-{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        draft.touch(exist_ok=False)
        mode = (target if target.exists() else draft).stat().st_mode
        yield draft
        draft.chmod(stat.S_IMODE(mode))  # some writers make files that only their owner can read
        _flush(draft, os.O_RDWR)
        os.replace(draft, target)
    finally:
        draft.unlink(missing_ok=True)
    if os.name == "posix":
        _flush(target.parent, os.O_RDONLY)


def _flush(path: Path, flags: int) -> None:
    """Have the operating system write a file (opened for writing) or a folder (for reading) to the disk now."""
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sweep(folder: Path) -> None:
    """Remove the drafts in `folder` whose writers are dead."""
    for draft in folder.glob(f".tinytorch-{_HOST}-*.tmp"):
        if not _is_being_written(draft):
            draft.unlink(missing_ok=True)


def _is_being_written(draft: Path) -> bool:
    pid = draft.name.split("-")[2]
    if os.name != "posix" or not pid.isdecimal():  # elsewhere signal 0 would end the process; there, age decides
        return draft.exists() and time.time() - draft.stat().st_mtime < _DAY
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True  # a process of another user
    return True
