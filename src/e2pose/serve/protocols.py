"""HTTP and WebSocket connections of uvicorn, with limits for clients that send slowly or never read."""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

REQUEST_TIMEOUT_S = 10.0
"""Time for the headers of a request, from the connection or from the end of the request before it."""

_CLOSE_TIMEOUT_S = 5.0  # a connection is cut if the client does not read what is left


class HttpProtocol(H11Protocol):
    """Closes a connection without a request in work after `REQUEST_TIMEOUT_S`.

    uvicorn waits forever for the headers of a request, and for the end of a body that was refused.
    """

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Starts the time for the first request."""
        super().connection_made(transport)
        self._start_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends the time."""
        self._stop_deadline()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        """Ends the time when a request starts."""
        super().handle_events()
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_deadline()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Ends the time when the connection becomes a WebSocket."""
        self._stop_deadline()
        super().handle_websocket_upgrade(event)

    def on_response_complete(self) -> None:
        """Starts the time for the next request."""
        self._start_deadline()
        super().on_response_complete()

    def _start_deadline(self) -> None:
        self._stop_deadline()
        self._deadline = self.loop.call_later(REQUEST_TIMEOUT_S, self.transport.abort)

    def _stop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """Cuts the connection of a client that sends pings without reading the answers."""

    def handle_ping(self) -> None:
        """Answers a ping, unless earlier answers have not been read."""
        if self.writable.is_set():
            super().handle_ping()
        else:
            self.transport.abort()

    async def run_asgi(self) -> None:
        """Runs the session, and cuts the connection if it does not close by itself."""
        await super().run_asgi()
        self.loop.call_later(_CLOSE_TIMEOUT_S, self.transport.abort)
