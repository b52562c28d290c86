"""The running server: socket, TLS, models, and shutting down without losing requests."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from time import monotonic
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from e2pose.core.errors import OptionError
from e2pose.serve.app import make_app
from e2pose.serve.compute import ServedModel
from e2pose.serve.options import ServeOptions
from e2pose.serve.protocols import HttpProtocol, WebSocketProtocol
from e2pose.serve.security import make_access, own_names
from e2pose.serve.service import Service

_DRAIN_S = 8.0  # running requests are answered within this time, then cancelled
_BACKLOG = 256


class Listener:
    """A bound socket, so that errors and the port are known before the models are loaded.

    Raises:
        OptionError: The address or port cannot be used, or the TLS files are no certificate and key.
    """

    def __init__(self, options: ServeOptions) -> None:
        self.tls = _open_tls(options)
        self.socket = _bind(options.host, options.port)
        name = own_names(options.host)[0]
        self.url = f"{'https' if self.tls else 'http'}://{name}:{self.socket.getsockname()[1]}/"
        """Address of the page."""


class PoseServer(uvicorn.Server):
    """Loads the models and serves until SIGINT or SIGTERM.

    The first signal lets the server refuse new work, answer running requests, and exit; `/readyz` reports the shutdown
    meanwhile. The second one ends it at once.

    Args:
        listener: Where to listen.
        options: Limits and access.
        load: Loads the models by name; the server already answers meanwhile.
        token: Required token; None if none is required.
        on_gpu: Whether waiting images are computed in batches.
        on_ready: Called when the models are loaded.
    """

    def __init__(
        self,
        listener: Listener,
        options: ServeOptions,
        load: Callable[[], Mapping[str, ServedModel]],
        *,
        token: str | None = None,
        on_gpu: bool = False,
        on_ready: Callable[[], None] = lambda: None,
    ) -> None:
        self.service = Service(options, on_gpu=on_gpu)
        super().__init__(_configure(make_app(self.service, make_access(options, token)), options, listener.tls))
        self._listener = listener
        self._load = load
        self._on_ready = on_ready
        self._drain_end_s = 0.0
        self._loop: asyncio.AbstractEventLoop

    def serve_until_stopped(self) -> None:
        """Serves; a signal that ended it is raised again afterwards.

        Raises:
            E2PoseError: A model cannot be loaded.
        """
        with self._listener.socket:
            asyncio.run(self._serve_with_models())

    async def _serve_with_models(self) -> None:
        self._loop = asyncio.get_running_loop()
        loading = asyncio.create_task(self._load_models())
        try:
            await self.serve([self._listener.socket])
        finally:
            self.service.close()
            loading.cancel()
            with suppress(asyncio.CancelledError):
                await loading

    async def _load_models(self) -> None:
        try:
            await self.service.start(self._load)
            self._on_ready()
        except BaseException:
            self.should_exit = True
            raise

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Starts the shutdown, or ends it; called from the signal handler."""
        if self._drain_end_s:
            super().handle_exit(sig, frame)
            self.force_exit = True
            return
        self._captured_signals.append(sig)
        self._drain_end_s = monotonic() + _DRAIN_S
        self._loop.call_soon_threadsafe(self.service.drain)

    async def on_tick(self, counter: int) -> bool:
        """Returns whether to exit: no request is running any more, or they take too long."""
        if self._drain_end_s and (not self.server_state.tasks or monotonic() > self._drain_end_s):
            self.should_exit = True
        return await super().on_tick(counter)


def _configure(app: ASGIApp, options: ServeOptions, tls: ssl.SSLContext | None) -> uvicorn.Config:
    config = uvicorn.Config(
        app,
        http=HttpProtocol,
        ws=WebSocketProtocol,
        ws_max_size=options.max_live_bytes,
        ws_per_message_deflate=False,  # JPEG does not shrink
        lifespan="off",
        log_config=None,
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=1,
    )
    config.load()
    config.ssl = tls
    return config


def _open_tls(options: ServeOptions) -> ssl.SSLContext | None:
    if options.tls_cert is None or options.tls_key is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(options.tls_cert.expanduser(), options.tls_key.expanduser(), password=_no_password)
    except (OSError, ValueError) as error:  # of which the errors of ssl are kinds
        is_tls = isinstance(error, ssl.SSLError | ValueError)
        reason = "they are not a certificate and its key" if is_tls else os.strerror(getattr(error, "errno", 0))
        raise OptionError(
            f"cannot use the certificate '{options.tls_cert}' with the key '{options.tls_key}': {reason}",
            "use PEM files that belong together, with a key that has no password",
        ) from error
    return context


def _no_password() -> str:
    raise ValueError("the key has a password")


def _bind(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.create_server(address, family=family, backlog=_BACKLOG)
    except (OSError, UnicodeError) as error:
        hints = {
            errno.EADDRINUSE: "choose another port, or --port 0 for a free one",
            errno.EACCES: "choose a port above 1023",
        }
        raise OptionError(
            f"cannot listen on {host}:{port}: {_reason(error)}",
            hints.get(getattr(error, "errno", 0), "use an address of this machine, such as 127.0.0.1"),
        ) from error
    bound.setblocking(False)
    return bound


def _reason(error: Exception) -> str:
    """Returns the reason of a failed call; the text of `create_server` repeats the address."""
    number = getattr(error, "errno", None)
    return (
        os.strerror(number) if isinstance(number, int) and number > 0 else str(error).partition("] ")[2] or str(error)
    )
