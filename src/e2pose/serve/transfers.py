"""Bodies of requests and answers, transferred in parts within limits."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from e2pose.serve.problems import RequestError

_PART_BYTES = 1 << 16
_DOWNLOAD_S = 60.0  # the transfer of an answer is given up after this time


class TransferBudget:
    """Limits the bytes of all encoded images in memory.

    Args:
        max_bytes: Maximum size of one body of a request.
        total_bytes: Maximum size of all bodies together.
    """

    def __init__(self, max_bytes: int, total_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._total_bytes = total_bytes
        self._used_bytes = 0

    @contextmanager
    def upload(self, request: Request) -> Iterator[Upload]:
        """Context in which the bytes of a request count."""
        upload = Upload(self, request)
        try:
            yield upload
        finally:
            self._used_bytes -= upload.size

    @contextmanager
    def download(self, size: int) -> Iterator[None]:
        """Context in which the bytes of an answer count, whatever their number."""
        self._used_bytes += size
        try:
            yield
        finally:
            self._used_bytes -= size

    def reserve(self, part: int, size: int) -> None:
        """Counts `part` more bytes of an upload that has `size` bytes with them.

        Raises:
            RequestError: The upload is too large, or all together are.
        """
        if size > self._max_bytes:
            raise RequestError(
                413,
                f"the body has more than {self._max_bytes:,} bytes",
                "send a smaller image, or start the server with a larger --max-megabytes",
            )
        if self._used_bytes + part > self._total_bytes:
            raise RequestError(503, "too many transfers at this time", "try again later", {"Retry-After": "1"})
        self._used_bytes += part


class Upload:
    """The body of a request; `size` bytes of it have arrived."""

    def __init__(self, budget: TransferBudget, request: Request) -> None:
        self.size = 0
        self._budget = budget
        self._request = request

    async def read(self) -> bytes:
        """Receives the whole body; a stated length over the limit is refused before that.

        Raises:
            RequestError: The body is empty or too large.
            ClientDisconnect: The client closed the connection.
        """
        self._budget.reserve(0, int(self._request.headers.get("content-length", "0")))  # uvicorn checks for digits
        data = bytearray()
        async for part in self._request.stream():
            self._budget.reserve(len(part), self.size + len(part))
            self.size += len(part)
            data += part
        if not data:
            raise RequestError(400, "the body is empty", "send the bytes of an image as the body")
        return bytes(data)


class ImageResponse(Response):
    """An encoded image, sent in parts, so that a client that reads slowly does not hold it in memory for long."""

    def __init__(self, data: bytes, budget: TransferBudget, media_type: str, headers: Mapping[str, str]) -> None:
        super().__init__(data, media_type=media_type, headers=headers)
        self._budget = budget

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  # as in its base
        """Sends the image; an incomplete answer makes the server close the connection."""
        body = memoryview(self.body)
        with self._budget.download(len(body)):
            try:
                async with asyncio.timeout(_DOWNLOAD_S):
                    await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
                    for start in range(0, len(body), _PART_BYTES):
                        part = bytes(body[start : start + _PART_BYTES])
                        await send({"type": "http.response.body", "body": part, "more_body": True})
                    await send({"type": "http.response.body", "body": b""})
            except TimeoutError:
                return
