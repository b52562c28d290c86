"""Who may use the server: names, origins and tokens, over HTTP and WebSocket."""

import socket

import pytest
from websockets.exceptions import InvalidStatus

from e2pose.core.errors import OptionError
from e2pose.serve.options import ServeOptions
from e2pose.serve.security import is_loopback, make_access, read_token
from helpers.serving import serving

TOKEN = "correct-horse-battery"


def exchange(port: int, request: str) -> str:
    """Sends a request as written, and returns the first line and the rest of the answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request.replace("\n", "\r\n").encode("latin-1"))
        connection.shutdown(socket.SHUT_WR)
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts).decode("latin-1")


UPGRADE = (
    "Connection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Version: 13\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\n"
)
OWN_HOSTS = ["localhost", "LOCALHOST", "127.0.0.1", "[::1]", "poses.example.com"]
HOSTILE_HOSTS = [
    "evil.com",
    "127.0.0.1.evil.com",
    "localhost.evil.com",
    "evil-localhost",
    "localhost@evil.com",
    "evil.com#localhost",
    "127.0.0.2",
    "0.0.0.0",
    "127.1",
    "2130706433",
    "::1",
    "localhost:",
    "localhost:8000:8000",
    "localhost:80a",
    "localhost.",
    "a.poses.example.com",
    "poses.example.com.evil.com",
    "",
]


@pytest.fixture(scope="module")
def named(tiny_model):
    """A client of a server with a further name and a page elsewhere."""
    with serving(
        {"tiny": tiny_model}, allow_host=("Poses.example.com",), allow_origin=("https://page.example.com",)
    ) as client:
        yield client


@pytest.mark.parametrize("port", ["", ":PORT", ":9000"])
@pytest.mark.parametrize("host", OWN_HOSTS)
@pytest.mark.parametrize("upgrade", ["", UPGRADE], ids=["http", "websocket"])
def test_own_names_are_accepted_with_any_port(named, host: str, port: str, upgrade: str) -> None:
    host += port.replace("PORT", str(named.port))
    path = "/v1/live" if upgrade else "/v1/models"
    answer = exchange(named.port, f"GET {path} HTTP/1.1\nHost: {host}\n{upgrade}\n")
    assert answer.startswith("HTTP/1.1 101 " if upgrade else "HTTP/1.1 200 ")


@pytest.mark.parametrize("host", HOSTILE_HOSTS)
@pytest.mark.parametrize("path", ["/", "/v1/models", "/healthz", "/nothing"])
def test_other_names_are_refused(named, host: str, path: str) -> None:
    answer = exchange(named.port, f"GET {path} HTTP/1.1\nHost: {host}\nConnection: close\n\n")
    assert answer.startswith(("HTTP/1.1 403 ", "HTTP/1.1 400 "))
    assert "is not a name of this server" in answer or answer.startswith("HTTP/1.1 400 ")


@pytest.mark.parametrize("host", HOSTILE_HOSTS)
def test_websocket_under_other_names_is_refused(named, host: str) -> None:
    answer = exchange(named.port, f"GET /v1/live HTTP/1.1\nHost: {host}\n{UPGRADE}\n")
    assert answer.startswith(("HTTP/1.1 403 ", "HTTP/1.1 400 "))


def test_missing_or_repeated_host_is_refused(named) -> None:
    assert exchange(named.port, "GET / HTTP/1.1\n\n").startswith("HTTP/1.1 400 ")
    assert exchange(named.port, "GET / HTTP/1.0\n\n").startswith("HTTP/1.1 403 ")
    repeated = "GET /v1/models HTTP/1.1\nHost: localhost\nHost: evil.com\nConnection: close\n\n"
    assert exchange(named.port, repeated).startswith("HTTP/1.1 400 ")
    absolute = "GET http://evil.com/v1/models HTTP/1.1\nHost: localhost\nConnection: close\n\n"
    assert not exchange(named.port, absolute).startswith("HTTP/1.1 200 ")


ORIGINS = [  # with the name of the server in the request
    (None, "localhost:PORT", True),
    ("http://localhost:PORT", "localhost:PORT", True),
    ("HTTP://LOCALHOST:PORT", "localhost:PORT", True),
    ("https://poses.example.com", "poses.example.com", True),  # behind a proxy
    ("http://localhost:9000", "localhost:9000", True),  # behind a tunnel
    ("https://page.example.com", "localhost:PORT", True),
    ("https://evil.com", "localhost:PORT", False),
    ("null", "localhost:PORT", False),
    ("", "localhost:PORT", False),
    ("http://localhost", "localhost:PORT", False),
    ("http://localhost:9", "localhost:PORT", False),  # another server on this machine
    ("http://127.0.0.1:PORT", "localhost:PORT", False),
    ("http://localhost:PORT.evil.com", "localhost:PORT", False),
    ("http://localhost:PORT/", "localhost:PORT", False),
    ("http://localhost:PORT@evil.com", "localhost:PORT", False),
    ("http://user@localhost:PORT", "localhost:PORT", False),
    ("ftp://localhost:PORT", "localhost:PORT", False),
    ("file://", "localhost:PORT", False),
    ("https://page.example.com.evil.com", "localhost:PORT", False),
    ("http://page.example.com", "localhost:PORT", False),
    ("https://page.example.com:8443", "localhost:PORT", False),
    ("https://apage.example.com", "localhost:PORT", False),
    ("http://evil.com", "evil.com", False),  # DNS rebinding: the name of the attacker leads to this machine
    ("http://evil.com:PORT", "evil.com:PORT", False),
]


@pytest.mark.parametrize(("origin", "host", "accepted"), ORIGINS)
@pytest.mark.parametrize("upgrade", ["", UPGRADE], ids=["http", "websocket"])
def test_origins_are_compared_exactly(named, origin: str | None, host: str, accepted: bool, upgrade: str) -> None:
    lines = f"Host: {host}\n" + ("" if origin is None else f"Origin: {origin}\n")
    path = "/v1/live" if upgrade else "/v1/models"
    answer = exchange(
        named.port, f"GET {path} HTTP/1.1\n{lines}{upgrade or 'Connection: close'}\n\n".replace("PORT", str(named.port))
    )
    assert answer.partition(" ")[2][:3] == (("101" if upgrade else "200") if accepted else "403")


def test_no_origin_gets_cors_headers_unless_it_is_listed(client, named, white) -> None:
    headers = {"Origin": "https://page.example.com"}
    assert client("GET", "/v1/models", headers=headers).status == 403
    allowed = named("GET", "/v1/models", headers=headers)
    assert allowed.headers["Access-Control-Allow-Origin"] == "https://page.example.com"
    assert "Access-Control-Allow-Origin" not in named("GET", "/v1/models").headers
    preflight = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization, content-type",
    }
    answer = named("OPTIONS", "/v1/poses", headers={**headers, **preflight})
    assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (200, "https://page.example.com")
    answer = named("OPTIONS", "/v1/poses", headers={"Origin": "https://evil.com", **preflight})
    assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (403, None)


@pytest.fixture(scope="module")
def secret(tiny_model):
    """A client of a server that requires a token."""
    with serving({"tiny": tiny_model}, token=TOKEN, allow_origin=("https://page.example.com",)) as client:
        yield client


@pytest.mark.parametrize("path", ["/v1/models", "/metrics", "/openapi.json", "/nothing", "/static/a/b", "//healthz"])
def test_token_is_required(secret, path: str) -> None:
    answer = secret("GET", path)
    assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert answer.json["detail"] == "the token is missing"
    assert TOKEN not in answer.body.decode()


@pytest.mark.parametrize(
    ("value", "status"),
    [
        (f"Bearer {TOKEN}", 200),
        (f"bearer {TOKEN}", 200),
        (f"Bearer {TOKEN}x", 401),
        (f"Bearer {TOKEN[:-1]}", 401),
        (f"Bearer {TOKEN.upper()}", 401),
        ("Bearer ", 401),
        ("Bearer", 401),
        (f"Basic {TOKEN}", 401),
        (TOKEN, 401),
        ("Bearer \xe9", 401),
    ],
)
def test_token_is_compared_exactly(secret, value: str, status: int) -> None:
    assert secret("GET", "/v1/models", headers={"Authorization": value.encode("latin-1")}).status == status


def test_token_in_the_address_is_not_accepted(secret) -> None:
    assert secret("GET", f"/v1/models?token={TOKEN}").status == 401


def test_page_and_health_need_no_token_and_preflight_requests_cannot_have_one(secret, white) -> None:
    assert secret("GET", "/healthz").status == 200
    assert secret("GET", "/readyz").status == 200
    assert secret("GET", "/").status in (200, 404)
    assert secret("GET", "/static/missing.js").status == 404
    preflight = {"Origin": "https://page.example.com", "Access-Control-Request-Method": "POST"}
    assert secret("OPTIONS", "/v1/poses", headers=preflight).status == 200
    assert secret.post(white).status == 401


@pytest.mark.parametrize(
    ("protocols", "headers", "status"),
    [
        (["e2pose.v1", f"token.{TOKEN}"], {}, 101),
        (["e2pose.v1"], {"Authorization": f"Bearer {TOKEN}"}, 101),
        (["e2pose.v1"], {}, 401),
        (["e2pose.v1", "token.wrong-token-value"], {}, 401),
        (["e2pose.v1", TOKEN], {}, 401),
    ],
)
def test_websocket_sends_the_token_as_subprotocol_or_header(secret, protocols, headers, status: int) -> None:
    try:
        with secret.live(subprotocols=protocols, additional_headers=headers) as live:
            assert live.subprotocol == "e2pose.v1"  # the token is not repeated
            assert live.response.status_code == status
    except InvalidStatus as error:
        assert error.response.status_code == status


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/"), ("GET", "/nothing"), ("POST", "/v1/poses"), ("GET", "/healthz")]
)
def test_every_answer_has_the_headers(client, method: str, path: str) -> None:
    headers = client(method, path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Embedder-Policy"] == "require-corp"
    assert "camera=(self)" in headers["Permissions-Policy"]
    policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'self'"
    assert "'unsafe-inline'" not in str(policy)
    assert "'unsafe-eval'" not in policy["script-src"].replace("'wasm-unsafe-eval'", "")
    assert "http" not in str(policy)  # no other host
    assert headers["Cache-Control"] in ("no-store", "no-cache")
    assert headers["Server"] is None


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("[::1]", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.5", False),
        ("example.com", False),
        ("127.0.0.1.evil.com", False),
    ],
)
def test_addresses_of_other_machines_require_a_token(host: str, loopback: bool) -> None:
    assert is_loopback(host) == loopback
    first, second = (read_token(ServeOptions(host=host)) for _ in range(2))
    assert (first is None) == loopback
    assert loopback or (len(first) >= 40 and first != second)


def test_names_of_the_bound_address_are_accepted() -> None:
    assert make_access(ServeOptions(host="192.168.1.5"), None).hosts >= {"192.168.1.5", "localhost"}
    assert "[fe80::1]" in make_access(ServeOptions(host="fe80::1"), None).hosts
    assert socket.gethostname().lower() in make_access(ServeOptions(host="0.0.0.0"), None).hosts
    assert "0.0.0.0" not in make_access(ServeOptions(host="0.0.0.0"), None).hosts


def test_token_file_is_read_and_checked(tmp_path) -> None:
    path = tmp_path / "token"
    path.write_text(f"  {TOKEN}\n")
    assert read_token(ServeOptions(token_file=path)) == TOKEN
    assert read_token(ServeOptions(token_file=path, host="0.0.0.0")) == TOKEN
    for content in (b"short", b"", b"with spaces in between", b"\xff\xfe\x00" * 9, "ä".encode() * 20):
        path.write_bytes(content)
        with pytest.raises(OptionError) as error:
            read_token(ServeOptions(token_file=path))
        assert error.value.hint
    with pytest.raises(OptionError, match="No such file"):
        read_token(ServeOptions(token_file=tmp_path / "none"))
    with pytest.raises(OptionError, match="directory"):
        read_token(ServeOptions(token_file=tmp_path))
