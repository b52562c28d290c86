"""Errors as answers: `application/problem+json` with title, detail and hint.

Source: RFC 9457, "Problem Details for HTTP APIs".
"""

from __future__ import annotations

from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from e2pose.core.errors import E2PoseError, InputError, OptionError, OutputError

_HINTS = {
    404: "GET /openapi.json lists all addresses",
    405: "the header Allow lists the accepted methods",
}


class RequestError(E2PoseError):
    """A request is refused; `status` is the status of the answer, and `headers` are added to it."""

    def __init__(self, status: int, message: str, hint: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message, hint)
        self.status = status
        self.headers = headers or {}


def describe(error: E2PoseError) -> dict[str, str | int]:
    """Returns the members of the answer to an error."""
    status = status_of(error)
    return {"title": HTTPStatus(status).phrase, "status": status, "detail": error.message, "hint": error.hint}


def status_of(error: E2PoseError) -> int:
    """Returns the status of the answer to an error."""
    if isinstance(error, RequestError):
        return error.status
    if isinstance(error, InputError):
        return 400
    return 422 if isinstance(error, OptionError | OutputError) else 500


def problem(error: E2PoseError) -> Response:
    """Returns the answer to an error."""
    return JSONResponse(
        describe(error),
        status_code=status_of(error),
        headers=error.headers if isinstance(error, RequestError) else None,
        media_type="application/problem+json",
    )


async def answer_error(_request: Request, error: Exception) -> Response:
    """Answers an error raised by a route, and 404 and 405 of the router."""
    if isinstance(error, HTTPException):
        hint = _HINTS.get(error.status_code, "correct the request")
        return problem(RequestError(error.status_code, _message(_request, error), hint, dict(error.headers or {})))
    if isinstance(error, E2PoseError):
        return problem(error)
    return problem(RequestError(500, "an unexpected error occurred", "the log of the server has the details"))


def _message(request: Request, error: HTTPException) -> str:
    if error.status_code == 404:
        if request.scope["path"] == "/v1/live":
            return "'/v1/live' is the address of a WebSocket"
        return f"there is nothing at '{request.scope['path']}'"
    if error.status_code == 405:
        return f"'{request.scope['path']}' does not accept the method {request.method}"
    return error.detail
