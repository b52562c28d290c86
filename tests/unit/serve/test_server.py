"""Sockets, TLS and shutting down."""

import asyncio
import json
import shutil
import socket
import ssl
import subprocess
import threading
import urllib.request
from contextlib import suppress
from http.client import HTTPException
from importlib import import_module

import pytest
from websockets.sync.client import connect

from e2pose.core.errors import ModelError, OptionError
from e2pose.inference.estimator import Estimator
from e2pose.serve.options import ServeOptions
from e2pose.serve.server import Listener, PoseServer
from helpers.serving import GatedRuntime, serving, until


def test_taken_port_is_an_error_with_a_hint() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OptionError) as error:
            Listener(ServeOptions(port=port))
    assert error.value.message == f"cannot listen on 127.0.0.1:{port}: Address already in use"
    assert "--port 0" in error.value.hint


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host", "256.1.1.1", "ex..ample", "x" * 70])
def test_address_of_another_machine_is_an_error_with_a_hint(host: str) -> None:
    with pytest.raises(OptionError, match="cannot listen on") as error:
        Listener(ServeOptions(host=host, port=0))
    assert "127.0.0.1" in error.value.hint


@pytest.mark.parametrize(
    ("host", "name"), [("127.0.0.1", "127.0.0.1"), ("localhost", "localhost"), ("::1", "[::1]"), ("[::1]", "[::1]")]
)
def test_address_of_the_page_is_known_before_the_models_are_loaded(host: str, name: str) -> None:
    try:
        listener = Listener(ServeOptions(host=host, port=0))
    except OptionError:
        pytest.skip("this machine has no IPv6")
    with listener.socket:
        assert listener.url == f"http://{name}:{listener.socket.getsockname()[1]}/"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for localhost, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    names = ["-addext", "subjectAltName=DNS:localhost"]
    subprocess.run([*command, *names, "-keyout", key, "-out", cert], check=True, capture_output=True)
    return cert, key


def test_tls_serves_https_and_wss(tiny_model, white, certificate) -> None:
    cert, key = certificate
    context = ssl.create_default_context(cafile=cert)
    with serving({"tiny": tiny_model}, tls_cert=cert, tls_key=key) as client:
        with urllib.request.urlopen(f"https://localhost:{client.port}/readyz", context=context) as answer:
            assert json.loads(answer.read()) == {"status": "ready"}
        address = f"wss://localhost:{client.port}/v1/live"
        with connect(address, ssl=context, proxy=None, origin=f"https://localhost:{client.port}") as live:
            live.send(white)
            assert len(json.loads(live.recv(timeout=20))["persons"]) == 1


def test_files_that_are_no_certificate_and_key_are_an_error(certificate, tmp_path) -> None:
    cert, key = certificate
    text = tmp_path / "text.pem"
    text.write_text("hello")
    locked = tmp_path / "locked.pem"
    command = ["openssl", "rsa", "-in", key, "-aes256", "-passout", "pass:word", "-out", locked]
    subprocess.run(command, check=True, capture_output=True)
    pairs = [
        (cert, cert),
        (key, key),
        (text, key),
        (cert, text),
        (cert, tmp_path / "none"),
        (tmp_path, key),
        (cert, locked),
    ]
    for wrong_cert, wrong_key in pairs:
        with pytest.raises(OptionError, match="cannot use the certificate") as error:
            Listener(ServeOptions(port=0, tls_cert=wrong_cert, tls_key=wrong_key))
        assert "PEM files" in error.value.hint
        assert "_ssl.c" not in error.value.message


def test_model_that_cannot_be_loaded_ends_the_server() -> None:
    def load():
        raise ModelError("broken", "repair it")

    options = ServeOptions(port=0)
    with pytest.raises(ModelError, match="broken"):
        PoseServer(Listener(options), options, load).serve_until_stopped()


def test_shutdown_answers_running_and_waiting_requests_and_refuses_others(tiny_model, white, monkeypatch) -> None:
    monkeypatch.setattr(import_module("e2pose.serve.server"), "_DRAIN_S", 1000.0)
    runtime = GatedRuntime(Estimator.open(tiny_model).runtime)
    answers = []
    with serving({"tiny": Estimator(runtime)}) as client:
        threads = [threading.Thread(target=lambda: answers.append(client.post(white))) for _ in range(3)]
        for thread in threads:
            thread.start()
        until(lambda: client.server.service.num_waiting == 2)
        client.server.handle_exit(15, None)
        until(lambda: client("GET", "/readyz").status == 503)
        refused = client.post(white)
        assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
        assert "shutting down" in refused.json["detail"]
        assert client("GET", "/healthz").status == 200
        assert not asyncio.run(client.server.on_tick(1))
        runtime.permissions.release(3)
        for thread in threads:
            thread.join()
        until(lambda: client.server.should_exit)
    assert [answer.status for answer in answers] == [200, 200, 200]
    with pytest.raises(ConnectionRefusedError):
        client("GET", "/healthz")


def test_second_signal_ends_the_server_at_once(tiny_model, white) -> None:
    runtime = GatedRuntime(Estimator.open(tiny_model).runtime)
    with serving({"tiny": Estimator(runtime)}) as client:

        def send() -> None:
            with suppress(OSError, HTTPException):
                client.post(white)

        thread = threading.Thread(target=send)
        thread.start()
        until(lambda: runtime.num_started == 2)
        client.server.handle_exit(2, None)
        client.server.handle_exit(2, None)
        until(lambda: client.server.should_exit)
        runtime.permissions.release(1)
        thread.join()
