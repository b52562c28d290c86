"""Limits of requests: bytes, time, queue, and clients that hang up, send slowly or never read."""

import socket
import threading
import time
from importlib import import_module

import cv2
import numpy as np
import pytest

from e2pose.inference.estimator import Estimator
from helpers.serving import GatedRuntime, serving, until

HEAD = "POST /v1/poses HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"


def open_request(client, head: str) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", client.port), timeout=20)
    connection.sendall(head.encode())
    return connection


def read_answer(connection: socket.socket) -> bytes:
    """Reads until the server closes the connection, or until the end of the headers if it stays open."""
    answer = b""
    while b"\r\n\r\n" not in answer and (part := connection.recv(65536)):
        answer += part
    return answer


def metric(client, name: str) -> int:
    lines = client("GET", "/metrics").body.decode().splitlines()
    return next((int(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(f"{name} ")), 0)


@pytest.fixture
def gated(tiny_model):
    """A client of a server whose model waits for permissions, and the model."""
    runtime = GatedRuntime(Estimator.open(tiny_model).runtime)
    with serving({"tiny": Estimator(runtime)}, queue=2, timeout=20.0) as client:
        yield client, runtime
        runtime.permissions.release(1000)


@pytest.fixture(scope="module")
def small(tiny_model):
    """A client of a server that accepts 10,000 bytes and 0.2 s."""
    with serving({"tiny": tiny_model}, max_megabytes=0.01, timeout=0.2) as client:
        yield client


def test_stated_length_over_the_limit_is_refused_before_the_body(small) -> None:
    with open_request(small, HEAD + "Content-Length: 10001\r\nExpect: 100-continue\r\n\r\n") as connection:
        answer = read_answer(connection)
    assert answer.startswith(b"HTTP/1.1 413 ")  # and not 100


def test_body_of_the_maximum_length_is_accepted(small, white) -> None:
    assert small.post(white + bytes(10_000 - len(white))).status == 200
    answer = small.post(white + bytes(10_001 - len(white)))
    assert answer.status == 413
    assert answer.json["detail"] == "the body has more than 10,000 bytes"


def test_chunked_body_over_the_limit_is_refused_while_it_arrives(small) -> None:
    chunk = b"3e8\r\n" + bytes(1000) + b"\r\n"
    with open_request(small, HEAD + "Transfer-Encoding: chunked\r\n\r\n") as connection:
        connection.sendall(chunk * 11)  # without an end
        assert read_answer(connection).startswith(b"HTTP/1.1 413 ")


def test_chunked_body_within_the_limit_is_accepted(small, white) -> None:
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (white[:20], white[20:]))
    with open_request(small, HEAD + "Transfer-Encoding: chunked\r\n\r\n") as connection:
        connection.sendall(chunks + b"0\r\n\r\n")
        assert read_answer(connection).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("length", ["-1", "1e3", "0x10", "99999999999999999999999", "1, 2"])
def test_odd_lengths_are_refused(small, length: str) -> None:
    with open_request(small, HEAD + f"Content-Length: {length}\r\n\r\n") as connection:
        assert read_answer(connection).startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 413 "))


def test_body_that_does_not_arrive_in_time_is_refused(small, white) -> None:
    with open_request(small, HEAD + f"Content-Length: {len(white)}\r\n\r\n") as connection:
        connection.sendall(white[:10])
        assert read_answer(connection).startswith(b"HTTP/1.1 408 ")


def test_bodies_in_memory_are_limited_together(tiny_model) -> None:
    with serving({"tiny": tiny_model}, max_megabytes=0.01) as client:
        head = HEAD + "Content-Length: 10000\r\n\r\n"
        connections = [open_request(client, head) for _ in range(9)]
        for connection in connections:
            connection.sendall(bytes(9000))
        refused = read_answer(connections[-1])
        assert refused.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 1" in refused
        for connection in connections:
            connection.close()
        until(lambda: client.post(bytes(9000)).status == 400)  # there is room again


def test_requests_beyond_the_queue_are_refused_and_others_answered(gated, white) -> None:
    client, runtime = gated
    statuses: list[int] = []
    threads = [threading.Thread(target=lambda: statuses.append(client.post(white).status)) for _ in range(3)]
    for number, thread in enumerate(threads):
        thread.start()
        until(lambda: runtime.num_started == 2 and metric(client, "e2pose_queue") == number)  # noqa: B023
    refused = client.post(white)
    assert refused.status == 503
    assert refused.headers["Retry-After"] == "1"
    assert "2 requests are waiting" in refused.json["detail"]
    with open_request(client, HEAD + "Content-Length: 100\r\nExpect: 100-continue\r\n\r\n") as connection:
        assert read_answer(connection).startswith(b"HTTP/1.1 503 ")  # the body is not received
    assert client("GET", "/healthz").status == 200
    runtime.permissions.release(3)
    for thread in threads:
        thread.join()
    assert statuses == [200, 200, 200]


def test_result_that_takes_too_long_is_given_up(tiny_model, white) -> None:
    runtime = GatedRuntime(Estimator.open(tiny_model).runtime)
    with serving({"tiny": Estimator(runtime)}, timeout=0.2) as client:
        answer = client.post(white)
        assert answer.status == 504
        assert answer.json["detail"] == "the result was not ready within 0.2 seconds"
        runtime.permissions.release(9)
        until(lambda: client.post(white).status == 200)


def test_requests_of_clients_that_hang_up_are_not_computed(gated, white) -> None:
    client, runtime = gated
    head = HEAD + f"Content-Length: {len(white)}\r\n\r\n"
    for _ in range(40):  # the first one is running; the queue holds two
        with open_request(client, head) as connection:
            connection.sendall(white)
            until(lambda: runtime.num_started == 2)
    until(lambda: not client.server.server_state.tasks)
    assert metric(client, 'e2pose_requests_total{route="/v1/poses",status="499"}') > 0
    assert metric(client, "e2pose_queue") == 0
    runtime.permissions.release(2)
    assert client.post(white).status == 200
    assert runtime.num_started == 3  # warm-up, the running one, and the last one


def test_clients_that_hang_up_while_they_send_leave_nothing(gated, white, caplog) -> None:
    client, runtime = gated
    for _ in range(20):
        with open_request(client, HEAD + "Content-Length: 1000\r\n\r\n") as connection:
            connection.sendall(white[:50])
    until(lambda: metric(client, 'e2pose_requests_total{route="/v1/poses",status="499"}') == 20)
    runtime.permissions.release(1)
    assert client.post(white).status == 200
    assert caplog.records == []


@pytest.fixture
def impatient(tiny_model, monkeypatch):
    """A client of a server that waits 0.2 s for headers and for clients to read."""
    monkeypatch.setattr(import_module("e2pose.serve.protocols"), "IDLE_S", 0.2)
    with serving({"tiny": tiny_model}) as client:
        yield client


@pytest.mark.parametrize(
    "sent",
    ["", "GET / HT", "GET / HTTP/1.1\r\nHost: localhost\r\n", "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET"],
)
def test_connection_without_a_request_is_closed(impatient, sent: str) -> None:
    with open_request(impatient, sent) as connection:
        while connection.recv(65536):  # an answer, then the end
            pass


def test_slow_headers_do_not_prolong_the_time(impatient) -> None:
    with open_request(impatient, "GET / HTTP/1.1\r\n") as connection:
        start_s = time.monotonic()
        with pytest.raises(OSError):  # of several kinds
            for number in range(10_000):
                connection.sendall(f"X-{number}: 1\r\n".encode())
                time.sleep(0.01)
        assert time.monotonic() - start_s < 10


def test_endless_body_after_a_refusal_ends(impatient) -> None:
    head = HEAD.replace("image/png", "text/plain") + "Transfer-Encoding: chunked\r\n\r\n"
    with open_request(impatient, head) as connection, pytest.raises(OSError):
        for _ in range(10_000):
            connection.sendall(b"5\r\nhello\r\n")
            time.sleep(0.01)


def test_request_in_work_is_not_closed(tiny_model, white, monkeypatch) -> None:
    monkeypatch.setattr(import_module("e2pose.serve.protocols"), "IDLE_S", 0.1)
    runtime = GatedRuntime(Estimator.open(tiny_model).runtime)
    with serving({"tiny": Estimator(runtime)}) as client:
        threading.Timer(0.4, runtime.permissions.release).start()
        assert client.post(white).status == 200


def test_client_that_does_not_read_a_large_answer_is_cut(impatient) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1200, 2000, 3), np.uint8)
    data = cv2.imencode(".png", noise)[1].tobytes()
    head = HEAD + f"Accept: image/png\r\nContent-Length: {len(data)}\r\n\r\n"
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", impatient.port))
        connection.sendall(head.encode() + data)
        until(lambda: metric(impatient, 'e2pose_requests_total{route="/v1/poses",status="200"}') == 1)
        until(lambda: len(impatient.server.server_state.connections) == 0)
        received = 0
        with pytest.raises(OSError):  # the connection was reset
            while part := connection.recv(1 << 20):
                received += len(part)
            raise ConnectionResetError
    assert received < len(data)


def test_connections_are_limited(tiny_model, monkeypatch) -> None:
    monkeypatch.setattr(import_module("e2pose.serve.protocols"), "MAX_CONNECTIONS", 3)
    with serving({"tiny": tiny_model}) as client:
        connections = [open_request(client, "") for _ in range(3)]
        until(lambda: len(client.server.server_state.connections) == 3)
        with pytest.raises(OSError):
            client("GET", "/healthz")
        connections.pop().close()
        until(lambda: len(client.server.server_state.connections) == 2)
        assert client("GET", "/healthz").status == 200
        for connection in connections:
            connection.close()


UPGRADE = (
    "GET /v1/live HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
PING = b"\x89\xfd" + bytes(4) + bytes(125)
TEXT = b"\x81\x81" + bytes(4) + b"x"


@pytest.mark.parametrize("message", [PING, TEXT], ids=["ping", "text"])
def test_live_client_that_never_reads_is_cut(tiny_model, monkeypatch, message: bytes) -> None:
    monkeypatch.setattr(import_module("e2pose.serve.protocols"), "IDLE_S", 0.2)
    with serving({"tiny": tiny_model}, timeout=0.3) as client, socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", client.port))
        connection.sendall(UPGRADE.encode())
        with pytest.raises(OSError):  # of several kinds
            end_s = time.monotonic() + 20
            while time.monotonic() < end_s:
                connection.sendall(message * 100)
        until(lambda: metric(client, "e2pose_live_sessions") == 0)
