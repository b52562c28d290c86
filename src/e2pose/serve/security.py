"""Access control and headers of every answer.

Any web page can send requests to a server on the same machine, and can reach it under a name of its own (DNS
rebinding). So the names of the server are a list, compared exactly, and a page may use the server only if it comes from
the server or from a listed origin. Programs send no `Origin`; they need the token only.
"""

from __future__ import annotations

import re
import secrets
import socket
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from e2pose.core.errors import OptionError
from e2pose.core.files import reason_of
from e2pose.serve.options import ServeOptions
from e2pose.serve.problems import RequestError, problem

SUBPROTOCOL = "e2pose.v1"
_TOKEN_SUBPROTOCOL = "token."
_TOKEN = re.compile(r"[A-Za-z0-9._~-]{16,512}")
_PUBLIC = re.compile(r"/|/static/[^/]*|/healthz|/readyz")  # the page reads the token from the fragment of its address

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self' blob:; "
        "img-src 'self' blob: data:; media-src 'self' blob:; "
        "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), display-capture=(self), microphone=(), geolocation=()",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


@dataclass(frozen=True)
class Access:
    """Who may use the server.

    Args:
        hosts: Names of the server, lower case, with or without port.
        origins: Origins of other web pages that may use it, lower case.
        token: Required token; None if none is required.
    """

    hosts: frozenset[str]
    origins: frozenset[str] = frozenset()
    token: str | None = None

    def check(self, request: HTTPConnection) -> None:
        """Checks the headers of a request.

        Raises:
            RequestError: They give no access.
        """
        host = request.headers.get("host", "").lower()
        if not {host, _without_port(host)} & self.hosts:
            raise RequestError(
                403, f"the host '{host[:100]}' is not a name of this server", "add it with: --allow-host NAME"
            )
        origin = request.headers.get("origin")
        if origin is not None and not self._is_allowed(origin.lower(), host):
            raise RequestError(
                403,
                f"pages of the origin '{origin[:100]}' may not use this server",
                "add it with: --allow-origin ORIGIN",
            )
        if (
            self.token is not None
            and request.scope.get("method") != "OPTIONS"
            and not _PUBLIC.fullmatch(request.scope["path"])
        ):
            sent = _sent_token(request.headers)
            if sent is None or not secrets.compare_digest(sent.encode(), self.token.encode()):
                raise RequestError(
                    401,
                    "the token is missing" if sent is None else "the token is wrong",
                    "send the header 'Authorization: Bearer TOKEN', with the token that the server printed",
                    {"WWW-Authenticate": "Bearer"},
                )

    def _is_allowed(self, origin: str, host: str) -> bool:
        """Returns whether pages of an origin may use the server, given its checked name."""
        return origin in self.origins or origin in (f"http://{host}", f"https://{host}")


def make_access(options: ServeOptions, token: str | None) -> Access:
    """Returns the access that the options describe."""
    names = {"localhost", "127.0.0.1", "[::1]", *options.allow_host, *own_names(options.host)}
    return Access(
        frozenset(name.lower() for name in names), frozenset(origin.lower() for origin in options.allow_origin), token
    )


def read_token(options: ServeOptions) -> str | None:
    """Returns the token of the token file, or a new one where the address requires it; otherwise None.

    Raises:
        OptionError: The file cannot be read, or is no token.
    """
    if options.token_file is None:
        return None if is_loopback(options.host) else secrets.token_urlsafe(32)
    path = Path(options.token_file).expanduser()
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise OptionError(f"cannot read the token file '{path}': {reason_of(error)}", "check the path") from error
    if not _TOKEN.fullmatch(token):
        raise OptionError(
            f"the token in '{path}' must have 16 to 512 letters, digits, '.', '_', '~' or '-'",
            f"create one with: python3 -c 'import secrets; print(secrets.token_urlsafe(32))' > {path}",
        )
    return token


def is_loopback(host: str) -> bool:
    """Returns whether an address is reachable from this machine only."""
    try:
        return host.lower() == "localhost" or ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Guard:
    """Middleware that checks the access, refuses otherwise, and adds the headers to every answer."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles a request or a WebSocket."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            self._access.check(HTTPConnection(scope))
        except RequestError as error:
            if scope["type"] == "http":
                await problem(error)(scope, receive, send_with_headers)
            else:
                await WebSocket(scope, receive, send_with_headers).send_denial_response(problem(error))
            return
        await self._app(scope, receive, send_with_headers)


def _sent_token(headers: Headers) -> str | None:
    """Returns the token of a request: from the header of a program, or from a subprotocol that a page can send."""
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    protocols = (name.strip() for name in headers.get("sec-websocket-protocol", "").split(","))
    return next(
        (name.removeprefix(_TOKEN_SUBPROTOCOL) for name in protocols if name.startswith(_TOKEN_SUBPROTOCOL)), None
    )


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdecimal() and port.isascii() else host


def own_names(host: str) -> list[str]:
    """Returns the names of the bound address as in a URL; for the address of all interfaces, those of the machine.

    The first one is the best for a link.
    """
    try:
        address = ip_address(host.strip("[]"))
    except ValueError:
        return [host]
    if not address.is_unspecified:
        return [_in_url(str(address))]
    addresses = []
    for family, elsewhere in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((elsewhere, 9))  # sends nothing, but chooses the interface
            addresses.append(_in_url(str(probe.getsockname()[0])))
    return [*addresses, socket.gethostname()]


def _in_url(address: str) -> str:
    return f"[{address}]" if ":" in address else address
