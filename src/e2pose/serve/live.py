"""Live sessions: frames over a WebSocket, of which the newest is answered."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from functools import partial
from time import monotonic
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8
from starlette.websockets import WebSocket, WebSocketDisconnect

from e2pose.core.errors import E2PoseError
from e2pose.core.frame import Frame, Origin
from e2pose.core.poses import Poses
from e2pose.formats.jsonl import to_json_persons
from e2pose.serve.parameters import LiveSettings
from e2pose.serve.problems import RequestError, describe
from e2pose.serve.service import Service
from e2pose.tracking.smoothing import Smoother
from e2pose.tracking.tracker import TRACKED_THRESHOLD, Tracker

_CLOSE_RESTART = 1012  # "service restart": the client connects again
_MAX_SETTINGS_LENGTH = 2000
_ORIGIN = Origin("live", rate=Fraction(30))  # the times of the frames are those of their arrival


class _Frame(NamedTuple):
    """A frame that waits."""

    number: int
    data: bytes
    time_s: float


class LiveSession:
    """One client: settings, tracks and the newest frame that waits.

    Receiving and computing run side by side. A frame that arrives while another one waits replaces it, so a client that
    sends faster than the model computes gets answers to fresh frames, and memory does not grow.
    """

    def __init__(self, websocket: WebSocket, service: Service, model: str | None, settings: LiveSettings) -> None:
        self._websocket = websocket
        self._service = service
        self._model = model
        self._settings = settings
        self._stages = _Stages()
        self._newest: _Frame | None = None
        self._arrived = asyncio.Event()
        self._num_received = 0
        self._num_dropped = 0

    async def run(self) -> None:
        """Serves the client until it leaves or the service shuts down, which answers the running frame.

        Raises:
            WebSocketDisconnect: The client does not read.
        """
        receiving, answering, draining = map(
            asyncio.ensure_future, (self._receive(), self._answer(), self._service.draining.wait())
        )
        try:
            await asyncio.wait({receiving, answering, draining}, return_when=asyncio.FIRST_COMPLETED)
            if draining.done() and not receiving.done():
                self._arrived.set()
                await answering
                await self._websocket.close(_CLOSE_RESTART, "the server is shutting down")
            for task in (receiving, answering):
                if task.done():
                    task.result()
        finally:
            for task in (receiving, answering, draining):
                task.cancel()

    async def _receive(self) -> None:
        while True:
            message = await self._websocket.receive()
            if message["type"] == "websocket.disconnect":
                return
            if (data := message.get("bytes")) is not None:
                self._replace(data)
            else:
                await self._change(message.get("text") or "")

    def _replace(self, data: bytes) -> None:
        if self._newest is not None:
            self._num_dropped += 1
            self._service.metrics.frames_dropped += 1
        self._newest = _Frame(self._num_received, data, monotonic())
        self._num_received += 1
        self._arrived.set()

    async def _change(self, text: str) -> None:
        try:
            changes = json.loads(text) if len(text) <= _MAX_SETTINGS_LENGTH else None
        except (ValueError, RecursionError):
            changes = None
        try:
            self._settings = self._settings.changed(changes)
        except RequestError as error:
            await self._send({"error": describe(error)})

    async def _answer(self) -> None:
        while not self._service.draining.is_set():
            await self._arrived.wait()
            self._arrived.clear()
            frame, self._newest = self._newest, None
            if frame is not None:
                await self._send(await self._compute(frame))

    async def _compute(self, frame: _Frame) -> Mapping[str, Any]:
        settings = self._settings
        try:
            _, model = self._service.model(self._model, settings.threshold)
            threshold = model.estimator.threshold
            if settings.track:
                model = model.with_threshold(TRACKED_THRESHOLD * threshold)
            finish = partial(self._stages, settings, threshold, frame)
            done = await self._service.compute(frame.data, model, finish, bounded=False)
        except E2PoseError as error:
            return {"frame": frame.number, "dropped": self._num_dropped, "error": describe(error)}
        self._service.metrics.observe(done.latency_ms)
        height, width = done.size_hw
        return {
            "frame": frame.number,
            "dropped": self._num_dropped,
            "width": width,
            "height": height,
            "persons": done.value,
            "latency_ms": done.latency_ms,
        }

    async def _send(self, record: Mapping[str, Any]) -> None:
        """Sends a message; closes the session if the client does not read for too long."""
        try:
            async with asyncio.timeout(self._service.options.timeout):
                await self._websocket.send_text(json.dumps(record, ensure_ascii=False, allow_nan=False))
        except TimeoutError:
            raise WebSocketDisconnect(1008, "the client does not read") from None


class _Stages:
    """Tracking and smoothing of one session. Called for one frame at a time, in the threads of the computation."""

    def __init__(self) -> None:
        self._tracker = Tracker()
        self._smoother = Smoother()

    def __call__(
        self,
        settings: LiveSettings,
        threshold: float,
        received: _Frame,
        image: UInt8[np.ndarray, "h w 3"],
        poses: Poses,
    ) -> list[dict[str, Any]]:
        """Returns the persons of a frame, tracked and smoothed as the settings say."""
        if settings.track or settings.smooth:
            frame = Frame(image, _ORIGIN, received.number, received.time_s)
            self._tracker.threshold = threshold
            poses = self._tracker(frame, poses)
            if settings.smooth:
                poses = self._smoother(frame, poses)
            if not settings.track:
                poses = replace(poses, track_ids=None)
        return to_json_persons(poses)
