"""Downloads, against a server on this machine that does everything wrong a server can do."""

import hashlib
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from tinytorch.data import DownloadError
from tinytorch.data.datasets import RemoteFile, cache_folder, cifar10, fetch, mnist, shakespeare

from .real_formats import mnist_pair

CONTENT = b"to be, or not to be\n" * 500


class Server(ThreadingHTTPServer):
    daemon_threads = True
    content: dict[str, bytes]
    asked: list[str]
    over: threading.Event
    left: threading.Event

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{path}"


class Handler(BaseHTTPRequestHandler):
    """The first part of the path says what goes wrong, the last one which file."""

    server: Server

    def do_GET(self) -> None:
        fault, _, name = self.path.strip("/").partition("/")
        self.server.asked.append(fault)
        content = self.server.content[name]
        length = {"short": len(content) // 2, "long": len(content) + 1000, "absurd": 10**15}.get(fault, len(content))
        if fault == "missing":
            self.send_error(404)
            return
        if fault == "silent":
            self.close_connection = True
            return
        if fault == "hanging":
            self.server.over.wait()
            return
        self.send_response(200)
        if fault != "endless":
            self.send_header("Content-Length", str(length) if fault != "nonsense" else "many")
        self.end_headers()
        if fault == "wrong":
            content = bytes(len(content))
        if fault in ("broken", "dripping"):
            content = content[: len(content) // 2]
        try:
            self.wfile.write(content)
            while fault == "endless":
                self.wfile.write(content)
            while fault == "dripping" and not self.server.over.wait(0.001):
                self.wfile.write(b"." * 16)
        except ConnectionError:
            assert fault in ("dripping", "endless", "short")
            self.server.left.set()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    running = Server(("127.0.0.1", 0), Handler)
    running.content, running.asked = {"text": CONTENT}, []
    running.over, running.left = threading.Event(), threading.Event()
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield running
    running.over.set()
    running.shutdown()
    running.server_close()
    thread.join()


def text(server: Server, *faults: str) -> RemoteFile:
    urls = tuple(server.url(f"{fault}/text") for fault in faults)
    return RemoteFile("play.txt", len(CONTENT), hashlib.sha256(CONTENT).hexdigest(), urls)


FAULTS = ["missing", "silent", "broken", "short", "long", "absurd", "nonsense", "wrong", "endless"]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_server_that_fails_leaves_nothing_and_is_named(server: Server, tmp_path: Path, fault: str) -> None:
    file = text(server, fault)
    with pytest.raises(DownloadError) as caught:
        fetch(file, tmp_path)
    assert isinstance(caught.value, OSError)
    message = str(caught.value)
    assert "play.txt" in message and file.sha256 in message and str(tmp_path / "play.txt") in message
    assert "127.0.0.1: " in message and message.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_the_next_mirror_is_asked(server: Server, tmp_path: Path, fault: str) -> None:
    path = fetch(text(server, fault, "good"), tmp_path)
    assert path.read_bytes() == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == ["play.txt"]


def test_a_file_without_mirrors_can_only_be_put_in_place(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"names no mirror\nput the file at"):
        fetch(RemoteFile("play.txt", 1, "0" * 64, ()), tmp_path)


def test_the_connection_to_a_server_that_is_given_up_is_closed(server: Server, tmp_path: Path) -> None:
    """At once, and not when the error that remembers it is forgotten."""
    with pytest.raises(DownloadError) as caught:
        fetch(text(server, "endless"), tmp_path)
    assert server.left.wait(20) and caught.value.__cause__


def test_a_server_that_keeps_silent_is_given_up(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(fetch.__globals__, "SECONDS", 0.1)
    with pytest.raises(DownloadError, match=r"127\.0\.0\.1: ReadTimeout"):
        fetch(text(server, "hanging"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_drips_is_given_up(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After 30 seconds and one for each 10,000 bytes, by a clock that is looked at before each 1,024 bytes."""
    clock = iter([0, 1, 1, 1, 1, 31, 32])
    monkeypatch.setitem(fetch.__globals__, "monotonic", lambda: next(clock))
    with pytest.raises(DownloadError, match=r"127\.0\.0\.1: TimeoutError"):
        fetch(text(server, "dripping"), tmp_path)
    assert not list(clock)  # 31 was not too late, 32 was
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["plays/play.txt", "../play.txt", "/play.txt", "a\\b", "", ".", ".."])
def test_a_name_with_folders_is_refused_when_the_file_is_declared(name: str) -> None:
    with pytest.raises(ValueError, match=r"RemoteFile: name .* is not the name of a file"):
        RemoteFile(name, 1, "0" * 64, ())


def test_a_download_is_written_as_all_files_are(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To a draft of `replacing`, so that nobody sees a part and what a killed download leaves is swept."""
    seen: list[str] = []
    check = fetch.__globals__["_check"]
    monkeypatch.setitem(fetch.__globals__, "_check", lambda path, file: (seen.append(path.name), check(path, file)))
    fetch(text(server, "good"), tmp_path)
    assert len(seen) == 1 and seen[0].startswith(".tinytorch-") and seen[0].endswith(".tmp")


def test_what_is_there_is_not_downloaded_again(server: Server, tmp_path: Path) -> None:
    assert fetch(text(server, "good"), tmp_path) == fetch(text(server, "good"), tmp_path)
    assert server.asked == ["good"]


def test_a_file_put_in_place_by_hand_is_taken_without_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pooch", None)
    (tmp_path / "play.txt").write_bytes(CONTENT)
    assert fetch(RemoteFile("play.txt", 1, hashlib.sha256(CONTENT).hexdigest(), ()), tmp_path).read_bytes() == CONTENT


def test_without_the_extra_the_error_names_it_and_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(ImportError, match=r"tinytorch-data\[download\]") as caught:
        shakespeare(tmp_path)
    assert "86c4e6aa" in str(caught.value) and str(tmp_path / "tinyshakespeare.txt") in str(caught.value)


def test_another_file_of_that_name_is_kept_and_refused(server: Server, tmp_path: Path) -> None:
    (tmp_path / "play.txt").write_bytes(b"my own play")
    with pytest.raises(ValueError, match=f"expected {text(server).sha256}"):
        fetch(text(server, "good"), tmp_path)
    assert (tmp_path / "play.txt").read_bytes() == b"my own play" and not server.asked
    assert fetch(text(server, "good"), tmp_path, verify=False).read_bytes() == b"my own play"


def test_a_folder_is_made_where_there_is_none(server: Server, tmp_path: Path) -> None:
    assert fetch(text(server, "good"), tmp_path / "new" / "folder").read_bytes() == CONTENT


def test_a_folder_that_cannot_be_written_is_a_clear_error(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match="put the file at"):
        fetch(text(server, "good"), tmp_path / "file")


def test_nothing_is_printed_unless_asked_for(
    server: Server, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    fetch(text(server, "good"), tmp_path / "quiet")
    assert capfd.readouterr() == ("", "") and not caplog.records
    fetch(text(server, "good"), tmp_path / "shown", progress=True)
    assert "100%" in capfd.readouterr().err


def test_mnist_comes_through_the_server(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = dict(zip(("images.gz", "labels.gz"), mnist_pair(4), strict=True))
    server.content.update(contents)
    files = tuple(
        RemoteFile(
            name,
            len(data),
            hashlib.sha256(data).hexdigest(),
            (server.url(f"broken/{name}"), server.url(f"good/{name}")),
        )
        for name, data in contents.items()
    )
    monkeypatch.setitem(mnist.__globals__["FILES"], "train", files)
    images, labels = mnist("train", tmp_path).tensors
    assert images.shape == (4, 1, 28, 28) and labels.shape == (4,) and 0 <= images.data.min() < images.data.max() <= 1
    assert np.array_equal(mnist("train", tmp_path).tensors[0].data, images.data)
    assert server.asked == ["broken", "good"] * 2


def test_shakespeare_is_text(tmp_path: Path) -> None:
    (tmp_path / "tinyshakespeare.txt").write_bytes(CONTENT)
    assert shakespeare(tmp_path, verify=False) == CONTENT.decode()
    with pytest.raises(ValueError, match="expected 86c4e6aa"):
        shakespeare(tmp_path)
    (tmp_path / "tinyshakespeare.txt").write_bytes(b"\xff")
    with pytest.raises(ValueError, match="not text"):
        shakespeare(tmp_path, verify=False)
    (tmp_path / "tinyshakespeare.txt").write_bytes(b" " * 5_000_000)
    with pytest.raises(ValueError, match="5,000,000 bytes"):
        shakespeare(tmp_path, verify=False)


def test_the_cache_folder_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("TINYTORCH_DATA", raising=False)
    assert cache_folder() == tmp_path / "tinytorch"
    monkeypatch.setenv("TINYTORCH_DATA", str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "cifar-10-binary.tar.gz").write_bytes(b"not it")
    with pytest.raises(ValueError, match="expected c4a38c50"):
        cifar10()
