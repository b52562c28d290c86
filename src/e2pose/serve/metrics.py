"""Counters in the text format of Prometheus.

Source: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_BUCKETS_S = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_MEMORY = Path("/proc/self/statm")


class Metrics:
    """Counts requests, frames and times. All methods run in the thread of the event loop."""

    def __init__(self) -> None:
        self.frames_dropped = 0
        self.live_sessions = 0
        self._requests: Counter[tuple[str, int]] = Counter()
        self._buckets: defaultdict[str, list[int]] = defaultdict(lambda: [0] * (len(_BUCKETS_S) + 1))
        self._sums_s: Counter[str] = Counter()

    def count_request(self, route: str, status: int) -> None:
        """Counts an answered request."""
        self._requests[route, status] += 1

    def observe(self, latency_ms: Mapping[str, float]) -> None:
        """Adds the times of an image."""
        for stage, milliseconds in latency_ms.items():
            self._buckets[stage][bisect_left(_BUCKETS_S, milliseconds / 1000)] += 1
            self._sums_s[stage] += milliseconds / 1000  # type: ignore[assignment]  # a Counter of floats

    def to_text(self, *, num_waiting: int) -> str:
        """Returns all metrics as text."""
        lines = [
            "# HELP e2pose_requests_total Answered requests.",
            "# TYPE e2pose_requests_total counter",
            *(
                f'e2pose_requests_total{{route="{route}",status="{status}"}} {count}'
                for (route, status), count in sorted(self._requests.items())
            ),
            "# HELP e2pose_seconds Time per image: waiting, decoding, computing.",
            "# TYPE e2pose_seconds histogram",
        ]
        for stage, counts in sorted(self._buckets.items()):
            total = 0
            for limit, count in zip((*_BUCKETS_S, "+Inf"), counts, strict=True):
                total += count
                lines.append(f'e2pose_seconds_bucket{{stage="{stage}",le="{limit}"}} {total}')
            lines += [
                f'e2pose_seconds_sum{{stage="{stage}"}} {self._sums_s[stage]:.4f}',
                f'e2pose_seconds_count{{stage="{stage}"}} {total}',
            ]
        values = {
            ("e2pose_queue", "gauge", "Images that wait."): num_waiting,
            ("e2pose_live_sessions", "gauge", "Open live sessions."): self.live_sessions,
            ("e2pose_frames_dropped_total", "counter", "Frames replaced by newer ones."): self.frames_dropped,
            ("process_resident_memory_bytes", "gauge", "Resident memory."): resident_bytes(),
        }
        for (name, kind, description), value in values.items():
            lines += [f"# HELP {name} {description}", f"# TYPE {name} {kind}", f"{name} {value}"]
        return "\n".join(lines) + "\n"


class RequestCounter:
    """Middleware that counts answers by route and status; unknown addresses count as one route."""

    def __init__(self, app: ASGIApp, metrics: Metrics, routes: frozenset[str]) -> None:
        self._app = app
        self._metrics = metrics
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles a request or a WebSocket."""

        async def send_counted(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start", "websocket.accept"):
                path = "/static" if scope["path"].startswith("/static/") else scope["path"]
                self._metrics.count_request(path if path in self._routes else "other", message.get("status", 101))
            await send(message)

        await self._app(scope, receive, send_counted)


def resident_bytes() -> int:
    """Returns the resident memory of this process; 0 where it is unknown."""
    if not _MEMORY.is_file():
        return 0
    return int(_MEMORY.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
