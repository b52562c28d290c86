"""A server of `e2pose serve` in a thread, and clients for it."""

import http.client
import json
import threading
import time
from contextlib import contextmanager
from typing import NamedTuple

from websockets.sync.client import connect

from e2pose.core.candidates import Candidates
from e2pose.inference.estimator import Estimator
from e2pose.runtimes.options import RuntimeOptions
from e2pose.serve.compute import ServedModel
from e2pose.serve.options import ServeOptions
from e2pose.serve.server import Listener, PoseServer


class Answer(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


class Client:
    """Sends requests to a server."""

    def __init__(self, server: PoseServer, listener: Listener) -> None:
        self.server = server
        self.port = listener.socket.getsockname()[1]

    def __call__(self, method, path, body=None, headers=None, *, timeout=30):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def post(self, body, query="", **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        return self("POST", f"/v1/poses{query}", body, {"Content-Type": "image/png", **headers})

    def live(self, query="", **options):
        return connect(
            f"ws://127.0.0.1:{self.port}/v1/live{query}",
            **{"subprotocols": ["e2pose.v1"], "proxy": None, "compression": None, **options},
        )


def _served(model):
    if isinstance(model, Estimator):
        return ServedModel(model, model)
    return ServedModel(Estimator.open(model, RuntimeOptions(threads=2), num_images=2), Estimator.open(model))


@contextmanager
def serving(models, *, token=None, on_gpu=False, wait=True, **options):
    """Context with a client of a new server on a free port.

    Args:
        models: Paths or estimators by name, or a function that returns served models.
        wait: Wait until the models are loaded.
    """

    def load():
        if callable(models):
            return models()
        return {name: _served(model) for name, model in models.items()}

    ready = threading.Event()
    chosen = ServeOptions(**{"port": 0, **options})
    listener = Listener(chosen)
    server = PoseServer(listener, chosen, load, token=token, on_gpu=on_gpu, on_ready=ready.set)
    thread = threading.Thread(target=server.serve_until_stopped, daemon=True)
    thread.start()
    try:
        if wait:
            assert ready.wait(60)
        while not server.started:
            time.sleep(0.01)
        yield Client(server, listener)
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()


def until(condition) -> None:
    end_s = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end_s
        time.sleep(0.005)


class GatedRuntime:
    """Runs a model once for each permission, after the first run, which warms it up."""

    description = "gated"

    def __init__(self, runtime) -> None:
        self.runtime, self.spec = runtime, runtime.spec
        self.permissions = threading.Semaphore(1)
        self.num_started = 0

    def __call__(self, pixels) -> Candidates:
        self.num_started += 1
        assert self.permissions.acquire(timeout=20)
        return self.runtime(pixels)
