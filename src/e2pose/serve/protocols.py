"""HTTP and WebSocket connections of uvicorn, with limits for clients that send slowly or never read."""

from __future__ import annotations

import asyncio

import h11
from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

MAX_CONNECTIONS = 500
"""More connections are closed at once, because each takes a file descriptor."""

IDLE_S = 10.0
"""Time for the headers of a request, and for a client to read a part of an answer."""


class HttpProtocol(H11Protocol):
    """Closes a connection without a running request, or whose client does not read, after `IDLE_S`.

    uvicorn waits forever for the headers of a request, for the end of a body that was refused, and for clients to read.
    """

    _request_deadline: asyncio.TimerHandle | None = None
    _reading_deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Starts the time for the first request."""
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            transport.abort()
        self._await_request()

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends the times."""
        _cancel(self._request_deadline, self._reading_deadline)
        super().connection_lost(exc)

    def handle_events(self) -> None:
        """Ends the time when a request starts."""
        super().handle_events()
        if self.cycle is not None and not self.cycle.response_complete:
            _cancel(self._request_deadline)

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Ends the time when the connection becomes a WebSocket."""
        _cancel(self._request_deadline)
        super().handle_websocket_upgrade(event)

    def on_response_complete(self) -> None:
        """Starts the time for the next request."""
        self._await_request()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """Starts the time for the client to read."""
        self._reading_deadline = self.loop.call_later(IDLE_S, self.transport.abort)
        super().pause_writing()

    def resume_writing(self) -> None:
        """Ends the time when the client has read."""
        _cancel(self._reading_deadline)
        super().resume_writing()

    def _await_request(self) -> None:
        _cancel(self._request_deadline)
        self._request_deadline = self.loop.call_later(IDLE_S, self.transport.abort)


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """Cuts the connection of a client that sends pings without reading the answers."""

    async def send(self, message: ASGISendEvent) -> None:
        """Sends a message. A refusal completes the handshake; otherwise uvicorn logs an error for it."""
        await super().send(message)
        if message["type"] == "websocket.http.response.body":
            self.handshake_complete = True

    def handle_ping(self) -> None:
        """Answers a ping, unless earlier answers have not been read."""
        if self.writable.is_set():
            super().handle_ping()
        else:
            self.transport.abort()

    async def run_asgi(self) -> None:
        """Runs the session, and cuts the connection if it does not close by itself."""
        await super().run_asgi()
        self.loop.call_later(IDLE_S, self.transport.abort)


def _cancel(*timers: asyncio.TimerHandle | None) -> None:
    for timer in timers:
        if timer is not None:
            timer.cancel()
