"""`e2pose serve` as its own process: poses of the samples, floods, large images, shutdown, and errors at the start."""

import http.client
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from contextlib import contextmanager, suppress
from pathlib import Path

import cv2
import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

import e2pose
from e2pose.formats.jsonl import to_json_persons

SAMPLES = sorted((Path(__file__).parents[2] / "samples").glob("*.jpg"))
COMMAND = [sys.executable, "-m", "e2pose", "serve", "--port", "0"]
needs_proc = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")


class Server:
    """A running server and what it has printed."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        for line in process.stderr:
            self.lines.append(line)
            if found := re.match(r"ready: https?://[^/]+:(\d+)/", line):
                self.port = int(found[1])
                break
        assert self.port, self.lines

    def request(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, content

    def poses(self, body: bytes, headers=None):
        status, content = self.request("POST", "/v1/poses", body, {"Content-Type": "image/jpeg", **(headers or {})})
        assert status == 200, content
        return json.loads(content)

    def memory(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return 1024 * int(re.search(r"VmRSS:\s+(\d+)", status)[1])

    def peak_memory(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return 1024 * int(re.search(r"VmHWM:\s+(\d+)", status)[1])

    def stop(self, signal_number: int = signal.SIGTERM) -> int:
        self.process.send_signal(signal_number)
        code = self.process.wait(timeout=10)
        self.lines += self.process.stderr.readlines()
        return code


@contextmanager
def running(*arguments: str | Path):
    with subprocess.Popen([*COMMAND, *map(str, arguments)], stderr=subprocess.PIPE, text=True) as process:
        try:
            yield Server(process)
        finally:
            process.kill()


@pytest.fixture(scope="module")
def server(tiny_model: Path):
    with running("--model", tiny_model, "--timeout", "20") as server:
        yield server


@pytest.mark.slow
def test_poses_of_all_samples_equal_those_of_the_estimator() -> None:
    estimator = e2pose.load()
    with running() as server, connect(f"ws://127.0.0.1:{server.port}/v1/live", proxy=None) as live:
        for path in SAMPLES:
            expected = to_json_persons(estimator(path))
            assert expected
            assert server.poses(path.read_bytes())["persons"] == expected
            live.send(path.read_bytes())
            assert json.loads(live.recv(timeout=30))["persons"] == expected
        assert server.stop() == 128 + signal.SIGTERM
    assert "Traceback" not in "".join(server.lines)


def bomb(height: int, width: int, bits: int = 1) -> bytes:
    """A complete grey PNG of zeros."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    compressor = zlib.compressobj(9)
    row = bytes(1 + width * bits // 8)
    body = b"".join(compressor.compress(row) for _ in range(height)) + compressor.flush()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.mark.slow
@needs_proc
def test_memory_stays_below_the_limit_with_large_images(server) -> None:
    headers = {"Content-Type": "image/png"}
    for path in SAMPLES[:2]:
        server.poses(path.read_bytes())
    before = server.memory()
    status, content = server.request("POST", "/v1/poses", bomb(30_000, 30_000), headers)
    assert (status, json.loads(content)["title"]) == (413, "Request Entity Too Large")
    large = bomb(7000, 7000, 8)  # 49 megapixels
    statuses: list[int] = []
    threads = [
        threading.Thread(target=lambda: statuses.append(server.request("POST", "/v1/poses", large, headers)[0]))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 4
    assert server.peak_memory() - before < 49e6 * 6 + 300e6  # grey and RGB, decoded one after the other


@needs_proc
def test_client_that_floods_and_never_reads_needs_no_memory(server) -> None:
    image = cv2.imencode(".jpg", np.full((180, 320, 3), 255, np.uint8))[1].tobytes()
    server.poses(image)
    before = server.memory()
    with connect(f"ws://127.0.0.1:{server.port}/v1/live", proxy=None) as live, suppress(OSError, ConnectionClosed):
        for _ in range(5000):
            live.send(image)  # the client stops reading after 16 messages
    assert server.memory() - before < 20e6
    assert len(server.poses(image)["persons"]) == 1


def test_clients_that_hang_up_leave_no_trace_in_the_next_latency(server) -> None:
    image = SAMPLES[0].read_bytes()
    head = f"POST /v1/poses HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(image)}\r\n\r\n".encode()
    server.poses(image)
    for _ in range(200):
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
            connection.sendall(head + image)
    assert server.poses(image)["latency_ms"]["wait"] < 1000
    _, metrics = server.request("GET", "/metrics")
    assert b"e2pose_queue 0" in metrics


def test_sigterm_under_load_answers_running_requests(tiny_model: Path) -> None:
    image = SAMPLES[0].read_bytes()
    head = f"POST /v1/poses HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(image)}\r\n\r\n".encode()
    with running("--model", tiny_model, "--queue", "200") as server:
        connections = [socket.create_connection(("127.0.0.1", server.port), timeout=20) for _ in range(60)]
        for connection in connections:
            connection.sendall(head + image)
        answers = [connection.recv(12) for connection in connections[:5]]  # the others are running or waiting
        assert answers == [b"HTTP/1.1 200"] * 5
        start_s = time.monotonic()
        code = server.stop()
        assert time.monotonic() - start_s < 10
        answers = {connection.recv(12) for connection in connections[5:]}
        assert answers == {b"HTTP/1.1 200"}
        assert code == 128 + signal.SIGTERM
        for connection in connections:
            connection.close()
    assert "Traceback" not in "".join(server.lines)


def test_ctrl_c_stops_an_idle_server_at_once(tiny_model: Path) -> None:
    with running("--model", tiny_model) as server:
        server.request("GET", "/healthz")
        start_s = time.monotonic()
        assert server.stop(signal.SIGINT) == 130
        assert time.monotonic() - start_s < 5
    assert "Traceback" not in "".join(server.lines)


def test_other_address_gets_a_token_that_is_printed_once_and_never_logged(tiny_model: Path) -> None:
    with running("--model", tiny_model, "--host", "0.0.0.0") as server:
        (token,) = re.findall(r"#token=(\S+)", "".join(server.lines))
        assert re.fullmatch(rf"ready: http://[^/]+:{server.port}/#token={token}\n", server.lines[-1])
        assert server.request("GET", "/v1/models")[0] == 401
        assert server.request("GET", f"/v1/models?token={token}")[0] == 401
        assert server.request("GET", "/v1/models", headers={"Authorization": f"Bearer {token}"})[0] == 200
        printed = len(server.lines)
        server.stop()
        assert token not in "".join(server.lines[printed:])


def test_token_of_a_file_is_not_printed(tiny_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("correct-horse-battery")
    with running("--model", tiny_model, "--token-file", path) as server:
        assert server.request("GET", "/v1/models")[0] == 401
        headers = {"Authorization": "Bearer correct-horse-battery"}
        assert server.request("GET", "/v1/models", headers=headers)[0] == 200
        server.stop()
        assert "correct-horse-battery" not in "".join(server.lines)


def test_models_are_named_like_their_files(e2pose, tiny_model: Path) -> None:
    with running("--model", tiny_model) as server:
        assert [model["name"] for model in json.loads(server.request("GET", "/v1/models")[1])] == ["tiny"]
    done = e2pose("serve", "--model", tiny_model, "--model", tiny_model)
    assert done.code in (1, 2)
    assert done.errors == ["error: two models have the same name: tiny, tiny"]


GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "serve.md"
BLOCKS = re.findall(r"```(?:bash|python)\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.S)
EXAMPLES = [block for block in BLOCKS if "/v1/" in block]


@pytest.mark.slow
def test_examples_of_the_guide_run(tmp_path: Path) -> None:
    assert len(EXAMPLES) == 3
    (tmp_path / "samples").symlink_to(SAMPLES[0].parent)
    with running() as server:
        for example in EXAMPLES:
            if "curl" in example and shutil.which("curl") is None:
                continue
            interpreter = ["bash", "-ec"] if "curl" in example else [sys.executable, "-c"]
            code = example.replace("8000", str(server.port)).replace("curl ", "curl --silent --fail ")
            done = subprocess.run([*interpreter, code], cwd=tmp_path, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            assert '"persons"' in done.stdout or "park.jpg 2" in done.stdout or "2 [1, 2]" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "error", "hint"),
    [
        (["--model", "nosuch"], "unknown model 'nosuch'", "use one of these"),
        (["--model", "missing.onnx"], "missing.onnx", "check the path"),
        (["--port", "70000"], "--port must be between 0 and 65535, not 70000", "use another value"),
        (["--queue", "-1"], "--queue must be between 0 and 10000, not -1", "use another value"),
        (["--tls-cert", "a.pem"], "--tls-cert and --tls-key must be used together", "add the other"),
        (["--tls-cert", "a.pem", "--tls-key", "b.pem"], "cannot use the certificate 'a.pem'", "PEM files"),
        (["--token-file", "none"], "cannot read the token file 'none': No such file", "check the path"),
        (["--allow-origin", "*"], "not '*'", "https://example.com"),
        (["--host", "192.0.2.1"], "cannot listen on 192.0.2.1:8000", "127.0.0.1"),
    ],
)
def test_invalid_option_is_an_error_with_a_hint(e2pose, arguments: list[str], error: str, hint: str) -> None:
    done = e2pose("serve", *arguments)
    assert done.code in (1, 2)
    assert len(done.errors) == len(done.hints) == 1
    assert error in done.errors[0]
    assert hint in done.hints[0]


@pytest.mark.parametrize("package", ["starlette", "uvicorn", "websockets"])
def test_missing_extra_names_the_command_that_installs_it(package: str) -> None:
    block = f"""
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {package!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocked())
from e2pose.cli.app import main
sys.exit(main(["serve"]))
"""
    done = subprocess.run([sys.executable, "-c", block], capture_output=True, text=True, check=False, env=os.environ)
    assert done.returncode == 1
    assert f"the package '{package}' is required" in done.stderr
    assert "pip install 'e2pose[serve]'" in done.stderr
    assert "Traceback" not in done.stderr
