"""`replacing`: the old file or the new one, never a part, and nothing left behind."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tinytorch.tensor import replacing


def write(path: Path, text: str) -> None:
    with replacing(path) as draft:
        draft.write_text(text)


def test_file_is_replaced_and_no_draft_stays(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    write(path, "old")
    write(path, "new")
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["file.txt"]


def test_error_leaves_the_old_file_and_no_draft(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    write(path, "old")
    with pytest.raises(KeyboardInterrupt), replacing(path) as draft:
        draft.write_text("half of the n")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file.txt"]


@pytest.mark.skipif(os.name != "posix", reason="modes and links of POSIX")
def test_link_and_mode_are_kept(tmp_path: Path) -> None:
    target, link = tmp_path / "target.txt", tmp_path / "link.txt"
    target.write_text("old")
    target.chmod(0o600)
    link.symlink_to(target)
    write(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert target.stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(os.name != "posix", reason="modes of POSIX")
def test_new_file_has_the_mode_of_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with replacing(tmp_path / "file.txt") as draft:
            draft.unlink()
            os.close(os.open(draft, os.O_CREAT, 0o600))  # as a library does that cares for itself
    finally:
        os.umask(before)
    assert (tmp_path / "file.txt").stat().st_mode & 0o777 == 0o640


def test_name_as_long_as_the_file_system_allows(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 251 + ".txt")
    write(path, "whole")
    assert path.read_text() == "whole"


def test_what_is_not_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match="is a folder; name a file in it"):
        write(tmp_path, "")
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*; create it first"):
        write(tmp_path / "missing" / "file.txt", "")


@pytest.mark.skipif(os.name != "posix", reason="elsewhere drafts are swept by age")
def test_draft_of_a_killed_writer_is_swept_and_that_of_a_living_one_stays(tmp_path: Path) -> None:
    killed = f"""
import os, signal
from tinytorch.tensor import replacing
with replacing({str(tmp_path / "file.txt")!r}) as draft:
    draft.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", killed], check=False)
    assert len(os.listdir(tmp_path)) == 1
    with replacing(tmp_path / "other.txt") as living:
        living.write_text("other")
        write(tmp_path / "file.txt", "whole")
        assert living.exists()
    assert sorted(os.listdir(tmp_path)) == ["file.txt", "other.txt"]
