"""The routes of the service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from e2pose.core.errors import E2PoseError
from e2pose.core.poses import Poses
from e2pose.formats.jsonl import to_json_persons
from e2pose.serve.compute import Image
from e2pose.serve.drawing import Drawing
from e2pose.serve.live import LiveSession
from e2pose.serve.media import accepted_type, check_content_type
from e2pose.serve.metrics import RequestCounter
from e2pose.serve.openapi import describe_api
from e2pose.serve.parameters import LiveSettings, check_names, parse_blur, parse_threshold
from e2pose.serve.problems import RequestError, answer_error, problem
from e2pose.serve.security import SUBPROTOCOL, Access, Guard
from e2pose.serve.service import Service, State
from e2pose.serve.transfers import ImageResponse, TransferBudget

T = TypeVar("T")

_STATIC = Path(__file__).with_name("static")
_MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".wasm": "application/wasm",
    ".onnx": "application/octet-stream",
}
_REVALIDATE = {"Cache-Control": "no-cache"}
_TRANSFERS = 8  # bodies of the maximum size that may be in memory together


def make_app(service: Service, access: Access) -> Starlette:
    """Returns the application around a service, whose models are loaded separately."""
    routes = _Routes(service, needs_token=access.token is not None)
    cors = Middleware(
        CORSMiddleware,
        allow_origins=sorted(access.origins),
        allow_methods=["GET", "POST"],
        allow_headers=["Authorization", "Content-Type"],
    )
    paths: list[Route | WebSocketRoute] = [
        Route("/", routes.page),
        Route("/static/{name}", routes.static),
        Route("/healthz", routes.health),
        Route("/readyz", routes.readiness),
        Route("/metrics", routes.metrics),
        Route("/openapi.json", routes.openapi),
        Route("/v1/models", routes.models),
        Route("/v1/poses", routes.poses, methods=["POST"]),
        WebSocketRoute("/v1/live", routes.live),
    ]
    counted = frozenset({"/static", *(route.path for route in paths)})
    app = Starlette(
        routes=paths,
        middleware=[
            Middleware(RequestCounter, service.metrics, counted),
            Middleware(Guard, access),
            *([cors] if access.origins else []),
        ],
        exception_handlers={
            E2PoseError: answer_error,
            HTTPException: answer_error,
            ClientDisconnect: _answer_disconnected,
            Exception: answer_error,
        },
    )
    app.router.redirect_slashes = False
    return app


class _Routes:
    """The answers to all requests."""

    def __init__(self, service: Service, *, needs_token: bool) -> None:
        self._service = service
        self._needs_token = needs_token
        self._transfers = TransferBudget(service.options.max_bytes, _TRANSFERS * service.options.max_bytes)
        self._files = {path.name: path for path in sorted(_STATIC.glob("*")) if path.is_file()}

    async def page(self, _request: Request) -> Response:
        """The live page."""
        return self._file("index.html")

    async def static(self, request: Request) -> Response:
        """A file of the page; the names are a list."""
        return self._file(request.path_params["name"])

    def _file(self, name: str) -> Response:
        if name not in self._files:
            raise HTTPException(404)
        path = self._files[name]
        return FileResponse(path, media_type=_MEDIA_TYPES.get(path.suffix), headers=_REVALIDATE)

    async def health(self, _request: Request) -> Response:
        """Whether the process answers."""
        return JSONResponse({"status": "ok"})

    async def readiness(self, _request: Request) -> Response:
        """Whether images are accepted."""
        if self._service.state is State.READY:
            return JSONResponse({"status": "ready"})
        _ = self._service.queue  # raises the reason
        raise AssertionError

    async def metrics(self, _request: Request) -> Response:
        """Counters for Prometheus."""
        text = self._service.metrics.to_text(num_waiting=self._service.num_waiting)
        return PlainTextResponse(text, media_type="text/plain; version=0.0.4")

    async def openapi(self, _request: Request) -> Response:
        """The description of this interface."""
        return JSONResponse(describe_api(self._service.models, needs_token=self._needs_token))

    async def models(self, _request: Request) -> Response:
        """The models that are served."""
        return JSONResponse(self._service.describe_models())

    async def poses(self, request: Request) -> Response:
        """The poses in an image, as JSON or drawn."""
        check_names(request.query_params, ("model", "threshold", "blur"))
        threshold = parse_threshold(request.query_params.get("threshold"))
        blur = parse_blur(request.query_params.get("blur"))
        check_content_type(request.headers.get("content-type", ""))
        answer = accepted_type(request.headers.get("accept", ""))
        name, model = self._service.model(request.query_params.get("model"), threshold)
        await self._service.queue.wait_for_room()  # before the body is received
        finish: Callable[[Image, Poses], Any] = _to_persons
        if answer != "application/json":
            finish = drawing = Drawing(answer.replace("/", "."), model, blur)
            model = drawing.blurred_model
        with self._transfers.upload(request) as upload:
            async with self._time_limit(408, "the body did not arrive"):
                data = await upload.read()
            async with self._time_limit(504, "the result was not ready"):
                done = await _unless_gone(request, self._service.compute(data, model, finish))
        if done is None:
            raise ClientDisconnect
        self._service.metrics.observe(done.latency_ms)
        timing = {"Server-Timing": ", ".join(f"{name};dur={value}" for name, value in done.latency_ms.items())}
        if answer != "application/json":
            return ImageResponse(done.value, self._transfers, answer, timing)
        height, width = done.size_hw
        record = {"model": name, "width": width, "height": height, "persons": done.value}
        return JSONResponse({**record, "latency_ms": done.latency_ms}, headers=timing)

    async def live(self, websocket: WebSocket) -> None:
        """Poses of a stream of frames."""
        metrics, options = self._service.metrics, self._service.options
        try:
            settings = LiveSettings.from_query(websocket.query_params)
            model, _ = self._service.model(websocket.query_params.get("model"), settings.threshold)
            if metrics.live_sessions >= options.max_sessions:
                raise RequestError(
                    429,
                    f"all {options.max_sessions} live sessions are in use",
                    "close one, or start the server with a larger --max-sessions",
                    {"Retry-After": "5"},
                )
        except E2PoseError as error:
            await websocket.send_denial_response(problem(error))
            return
        metrics.live_sessions += 1
        try:
            offered = websocket.scope["subprotocols"]
            await websocket.accept(SUBPROTOCOL if SUBPROTOCOL in offered else None)
            await LiveSession(websocket, self._service, model, settings).run()
        except WebSocketDisconnect:
            pass
        finally:
            metrics.live_sessions -= 1

    @asynccontextmanager
    async def _time_limit(self, status: int, reason: str) -> AsyncIterator[None]:
        """Context that may take as long as the options say.

        Raises:
            RequestError: It took longer.
        """
        limit_s = self._service.options.timeout
        try:
            async with asyncio.timeout(limit_s):
                yield
        except TimeoutError:
            hint = "send a smaller image, or try again when the server is less busy"
            raise RequestError(status, f"{reason} within {limit_s:g} seconds", hint) from None


async def _answer_disconnected(_request: Request, _error: Exception) -> Response:
    return Response(status_code=499)  # the connection is closed; the status is for the metrics


async def _unless_gone(request: Request, result: Awaitable[T]) -> T | None:
    """Waits for a result; None as soon as the client has closed the connection. The body has been received."""

    async def watch() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    # The watch starts first: if the client is already gone, nothing is computed.
    gone, wanted = asyncio.ensure_future(watch()), asyncio.ensure_future(result)
    try:
        await asyncio.wait({wanted, gone}, return_when=asyncio.FIRST_COMPLETED)
        return wanted.result() if wanted.done() else None
    finally:
        wanted.cancel()
        gone.cancel()


def _to_persons(_image: Image, poses: Poses) -> list[dict[str, Any]]:
    return to_json_persons(poses)
