"""Bodies of requests, received in parts within limits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from starlette.requests import Request

from e2pose.serve.problems import RequestError


class UploadBudget:
    """Limits the bytes of all encoded images in memory.

    Args:
        max_bytes: Maximum size of one body.
        total_bytes: Maximum size of all bodies together.
    """

    def __init__(self, max_bytes: int, total_bytes: int) -> None:
        self.used_bytes = 0
        self._max_bytes = max_bytes
        self._total_bytes = total_bytes

    @contextmanager
    def body(self, request: Request) -> Iterator[Upload]:
        """Context in which the bytes of one body count."""
        upload = Upload(self, request)
        try:
            yield upload
        finally:
            self.used_bytes -= len(upload.data)

    def reserve(self, size: int, upload_size: int) -> None:
        """Counts `size` more bytes of an upload that has `upload_size` bytes with them.

        Raises:
            RequestError: The upload or all uploads are too large.
        """
        if upload_size > self._max_bytes:
            raise RequestError(
                413,
                f"the body has more than {self._max_bytes:,} bytes",
                "send a smaller image, or start the server with a larger --max-megabytes",
            )
        if self.used_bytes + size > self._total_bytes:
            raise RequestError(503, "too many uploads at this time", "try again later", {"Retry-After": "1"})
        self.used_bytes += size


class Upload:
    """The body of a request."""

    def __init__(self, budget: UploadBudget, request: Request) -> None:
        self.data = bytearray()
        self._budget = budget
        self._request = request

    async def read(self) -> bytes:
        """Receives the whole body; a stated length over the limit is refused before that.

        Raises:
            RequestError: The body is empty or too large.
            ClientDisconnect: The client closed the connection.
        """
        stated = self._request.headers.get("content-length", "0")
        self._budget.reserve(0, int(stated))  # the server accepts digits only
        async for part in self._request.stream():
            self._budget.reserve(len(part), len(self.data) + len(part))
            self.data += part
        if not self.data:
            raise RequestError(400, "the body is empty", "send the bytes of an image as the body")
        return bytes(self.data)
