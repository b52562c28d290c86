import hashlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from e2pose.core.errors import ModelError, OutputError
from e2pose.zoo.download import fetch

CONTENT = np.random.default_rng(0).bytes(300_000)
FILE = {"size_bytes": len(CONTENT), "sha256": hashlib.sha256(CONTENT).hexdigest()}


class Server(ThreadingHTTPServer):
    """Serves one file; can close the connection early and ignore ranges."""

    daemon_threads = True
    content = CONTENT
    ranges = True
    close_after: int | None = None
    hangs = False
    kind = "application/octet-stream"

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[tuple[str, str | None]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        range_header = self.headers.get("Range")
        self.server.requests.append((self.path, range_header))
        if "missing" in self.path:
            self.send_error(404)
            return
        start = int(range_header.removeprefix("bytes=").removesuffix("-")) if range_header and self.server.ranges else 0
        body = self.server.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", self.server.kind)
        self.end_headers()
        self.wfile.write(body[: self.server.close_after])
        if self.server.hangs:
            self.rfile.read()  # until the client disconnects

    def log_message(self, *arguments: object) -> None:
        """Prints nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("E2POSE_OFFLINE", "E2POSE_MIRROR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("E2POSE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path / "home"


def files(home: Path) -> list[str]:
    return sorted(path.name for path in home.rglob("*") if path.is_file() and path.suffix != ".lock")


def test_file_is_downloaded_once(server: Server, home: Path) -> None:
    path = fetch("m.onnx", [f"{server.url}/m.onnx"], **FILE)
    assert path.read_bytes() == CONTENT
    assert files(home) == ["m.onnx"]
    assert fetch("m.onnx", [f"{server.url}/m.onnx"], **FILE) == path
    assert server.requests == [("/m.onnx", None)]


def test_interrupted_download_resumes(server: Server, home: Path) -> None:
    server.close_after = 100_000
    with pytest.raises(ModelError, match=r"closed after 100000 of 300000 bytes|IncompleteRead") as caught:
        fetch("m.onnx", [f"{server.url}/m.onnx"], **FILE)
    assert "run the command again to resume" in caught.value.hint
    assert files(home) == ["m.onnx.part"]
    server.close_after = None
    assert fetch("m.onnx", [f"{server.url}/m.onnx"], **FILE).read_bytes() == CONTENT
    assert server.requests[1] == ("/m.onnx", "bytes=100000-")
    assert files(home) == ["m.onnx"]


def test_server_without_ranges_restarts_the_download(server: Server, home: Path) -> None:
    server.close_after, server.ranges = 1000, False
    with pytest.raises(ModelError):
        fetch("m.onnx", [f"{server.url}/m.onnx"], **FILE)
    server.close_after = None
    assert fetch("m.onnx", [f"{server.url}/m.onnx"], **FILE).read_bytes() == CONTENT


@pytest.mark.parametrize("content", [b"x" * len(CONTENT), CONTENT[:-1] + b"?", CONTENT * 2 + b"?", b"x"])
def test_wrong_content_leaves_no_file(server: Server, home: Path, content: bytes) -> None:
    server.content = content
    wrong = {**FILE, "sha256": "0" * 64} if content.startswith(CONTENT) else FILE
    with pytest.raises(ModelError, match=r"SHA-256|connection closed"):
        fetch("m.onnx", [f"{server.url}/m.onnx"], **wrong)
    assert "m.onnx" not in files(home)
    assert len(content) < len(CONTENT) or files(home) == []


def test_wrong_partial_file_is_deleted(server: Server, home: Path) -> None:
    part = home / "models" / FILE["sha256"][:12] / "m.onnx.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"something else")
    with pytest.raises(ModelError, match="SHA-256"):
        fetch("m.onnx", [f"{server.url}/m.onnx"], **FILE)
    assert files(home) == []
    assert fetch("m.onnx", [f"{server.url}/m.onnx"], **FILE).read_bytes() == CONTENT


def test_next_address_is_used_after_a_failure(server: Server, home: Path) -> None:
    urls = [f"{server.url}/missing.onnx", "file:///etc/hosts", f"{server.url}/m.onnx"]
    assert fetch("m.onnx", urls, **FILE).read_bytes() == CONTENT


def test_error_lists_the_failure_of_every_address(server: Server, home: Path) -> None:
    urls = [f"{server.url}/missing.onnx", "file:///etc/hosts", "http://"]
    with pytest.raises(ModelError, match=r"404.*only http and https.*http://: "):
        fetch("m.onnx", urls, **FILE)
    assert files(home) == []


def test_mirror_replaces_all_addresses(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("E2POSE_MIRROR", f"{server.url}/shelf/")
    fetch("m.onnx", ["https://unused.invalid/m.onnx"], **FILE)
    assert server.requests == [("/shelf/m.onnx", None)]


def test_offline_forbids_downloads_but_not_cached_files(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("E2POSE_OFFLINE", "0")
    path = fetch("m.onnx", [f"{server.url}/m.onnx"], **FILE)
    monkeypatch.setenv("E2POSE_OFFLINE", "1")
    assert fetch("m.onnx", [f"{server.url}/m.onnx"], **FILE) == path
    path.unlink()
    with pytest.raises(ModelError, match="E2POSE_OFFLINE forbids downloads"):
        fetch("m.onnx", [f"{server.url}/m.onnx"], **FILE)
    assert len(server.requests) == 1


def test_parallel_threads_download_once(server: Server, home: Path) -> None:
    found: list[Path] = []

    def once() -> None:
        found.append(fetch("m.onnx", [f"{server.url}/m.onnx"], **FILE))

    threads = [threading.Thread(target=once) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [path.read_bytes() == CONTENT for path in found] == [True] * 4
    assert files(home) == ["m.onnx"]
    assert len(server.requests) == 1


def test_unwritable_cache_is_reported(home: Path) -> None:
    home.write_text("a file where the folder should be")
    with pytest.raises(OutputError, match="cannot write"):
        fetch("m.onnx", ["https://unused.invalid/m.onnx"], **FILE)


def test_damaged_file_is_downloaded_again(server: Server) -> None:
    path = fetch("m.onnx", [f"{server.url}/m.onnx"], **FILE)
    path.write_bytes(CONTENT[:-1] + b"?")
    assert fetch("m.onnx", [f"{server.url}/m.onnx"], **FILE).read_bytes() == CONTENT
    assert len(server.requests) == 2


UNKNOWN = {"size_bytes": None, "sha256": None}


def test_unknown_hash_is_recorded_and_verified_later(server: Server, home: Path) -> None:
    path = fetch("m.pb", [f"{server.url}/m.pb"], **UNKNOWN)
    assert path.with_name("m.pb.sha256").read_text() == f"{FILE['sha256']}\n"
    assert fetch("m.pb", [f"{server.url}/m.pb"], **UNKNOWN).read_bytes() == CONTENT
    assert len(server.requests) == 1
    path.unlink()
    server.content = b"another version" + CONTENT
    with pytest.raises(ModelError, match=f"not {FILE['sha256']}"):
        fetch("m.pb", [f"{server.url}/m.pb"], **UNKNOWN)
    assert files(home) == ["m.pb.sha256"]


def test_interrupted_download_without_hash_restarts(server: Server, home: Path) -> None:
    server.close_after = 100_000
    with pytest.raises(ModelError, match=r"closed after 100000 of 300000 bytes|IncompleteRead"):
        fetch("m.pb", [f"{server.url}/m.pb"], **UNKNOWN)
    assert "m.pb" not in files(home)
    server.close_after = None
    assert fetch("m.pb", [f"{server.url}/m.pb"], **UNKNOWN).read_bytes() == CONTENT
    assert [range_header for _, range_header in server.requests] == [None, None]


def test_file_placed_by_the_user_is_accepted(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("E2POSE_OFFLINE", "1")
    path = home / "models" / "recorded" / "m.pb"
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    assert fetch("m.pb", ["https://unused.invalid/m.pb"], **UNKNOWN) == path


def test_web_page_is_rejected(server: Server, home: Path) -> None:
    server.kind = "text/html; charset=utf-8"
    with pytest.raises(ModelError, match="the response is a web page"):
        fetch("m.pb", [f"{server.url}/m.pb"], **UNKNOWN)
    assert files(home) == []


def test_unreachable_host_suggests_a_mirror(home: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/m.onnx"
    with pytest.raises(ModelError, match="refused") as caught:
        fetch("m.onnx", [url], **FILE)
    assert "E2POSE_MIRROR" in caught.value.hint
    assert files(home) == []


def test_read_only_cache_is_still_read(server: Server, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = fetch("m.onnx", [f"{server.url}/m.onnx"], **FILE)
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)
    assert fetch("m.onnx", [f"{server.url}/m.onnx"], **FILE) == path
    path.unlink()
    with pytest.raises(OutputError, match="no write permission"):
        fetch("m.onnx", [f"{server.url}/m.onnx"], **FILE)
    assert len(server.requests) == 1


FETCH = """
import sys
from e2pose.zoo.download import fetch

fetch("m.onnx", [sys.argv[1]], size_bytes=int(sys.argv[2]), sha256=sys.argv[3])
"""


def start_process(server: Server) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-c", FETCH, f"{server.url}/m.onnx", str(FILE["size_bytes"]), FILE["sha256"]]
    return subprocess.Popen(words)


def test_download_of_a_killed_process_resumes(server: Server, home: Path) -> None:
    server.close_after, server.hangs = 100_000, True
    part = home / "models" / FILE["sha256"][:12] / "m.onnx.part"
    with start_process(server) as process:
        end = time.monotonic() + 60
        while not (part.is_file() and part.stat().st_size) and time.monotonic() < end:
            time.sleep(0.01)
        process.kill()
    server.close_after, server.hangs = None, False
    arrived = part.stat().st_size
    assert 0 < arrived <= 100_000
    assert fetch("m.onnx", [f"{server.url}/m.onnx"], **FILE).read_bytes() == CONTENT
    assert server.requests[1] == ("/m.onnx", f"bytes={arrived}-")
    assert files(home) == ["m.onnx"]


def test_file_system_without_locks_is_reported(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(lock: object) -> None:
        raise NotImplementedError("no flock")

    monkeypatch.setattr("e2pose.zoo.download.FileLock.acquire", refuse)
    with pytest.raises(OutputError, match="without locks: no flock"):
        fetch("m.onnx", ["https://unused.invalid/m.onnx"], **FILE)


def test_parallel_processes_download_once(server: Server, home: Path) -> None:
    processes = [start_process(server) for _ in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
    assert files(home) == ["m.onnx"]
    assert next(home.rglob("m.onnx")).read_bytes() == CONTENT
    assert len(server.requests) == 1
