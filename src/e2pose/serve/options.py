"""Options of `e2pose serve`. Light enough for `--help`: imports no web framework, image or runtime library."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from e2pose.core.arguments import check_count, check_number
from e2pose.core.errors import OptionError

_HOST = re.compile(r"(?:[a-z0-9-]+(?:\.[a-z0-9-]+)*|\[[0-9a-f:.]+\])(?::\d{1,5})?")
_ORIGIN = re.compile(r"https?://" + _HOST.pattern)
_MAX_LIVE_BYTES = 2 << 20


@dataclass(frozen=True)
class ServeOptions:
    """Which models are served, where, and within which limits.

    Args:
        model: Model name from `e2pose models`, or model file (default: default). Repeat it to serve several models.
        host: Address to listen on. Any address but a loopback address requires a token
            (default: 127.0.0.1).
        port: Port to listen on; 0 for a free port (default: 8000).
        parallel: Number of images processed in parallel; by default one per usable core, at most eight.
        queue: Number of requests that may wait; more are refused with the status 503
            (default: 16).
        timeout: Seconds until a request is given up with the status 504 (default: 10).
        max_megabytes: Maximum size of an encoded image in MB (default: 20).
        max_megapixels: Maximum size of a decoded image in millions of pixels (default: 50).
        max_sessions: Maximum number of live sessions (default: 8).
        token_file: File with the token that clients must send; without it, a token is created where one is required.
        allow_host: Further name of this server that clients may use, such as the name of a reverse proxy.
        allow_origin: Origin of a web page elsewhere that may use this server, such as `https://example.com`.
        tls_cert: PEM file with the certificate chain, for https.
        tls_key: PEM file with the private key of the certificate.

    Raises:
        OptionError: An option is out of range, or options do not fit together.
    """

    model: tuple[str, ...] = ()
    host: str = "127.0.0.1"
    port: int = 8000
    parallel: int | None = None
    queue: int = 16
    timeout: float = 10.0
    max_megabytes: float = 20.0
    max_megapixels: float = 50.0
    max_sessions: int = 8
    token_file: Path | None = None
    allow_host: tuple[str, ...] = ()
    allow_origin: tuple[str, ...] = ()
    tls_cert: Path | None = None
    tls_key: Path | None = None

    def __post_init__(self) -> None:
        hint = "use another value, or omit the option"
        for name, low, high in _COUNTS:
            if getattr(self, name) is not None:
                check_count(f"--{name.replace('_', '-')}", getattr(self, name), low, high, hint=hint)
        for name, smallest, largest in _NUMBERS:
            check_number(f"--{name.replace('_', '-')}", getattr(self, name), smallest, largest, hint=hint)
        for host in self.allow_host:
            if not _HOST.fullmatch(host.lower()):
                raise OptionError(
                    f"--allow-host must be a host name, not '{host}'", "use only the name: --allow-host example.com"
                )
        for origin in self.allow_origin:
            if not _ORIGIN.fullmatch(origin.lower()):
                raise OptionError(
                    f"--allow-origin must be scheme, host and port of a web page, not '{origin}'",
                    "for example: --allow-origin https://example.com",
                )
        if (self.tls_cert is None) != (self.tls_key is None):
            raise OptionError("--tls-cert and --tls-key must be used together", "add the other one of the two")

    @property
    def max_bytes(self) -> int:
        """Maximum size of an encoded image in bytes."""
        return int(self.max_megabytes * 1_000_000)

    @property
    def max_pixels(self) -> int:
        """Maximum number of pixels of a decoded image."""
        return int(self.max_megapixels * 1_000_000)

    @property
    def max_live_bytes(self) -> int:
        """Maximum size of a frame of a live session in bytes."""
        return min(self.max_bytes, _MAX_LIVE_BYTES)


_COUNTS = (("port", 0, 65_535), ("parallel", 1, 64), ("queue", 0, 10_000), ("max_sessions", 0, 1000))
_NUMBERS = (("timeout", 0.1, 3600.0), ("max_megabytes", 0.001, 1000.0), ("max_megapixels", 0.001, 1000.0))
"""Name, minimum and maximum of each option with a number."""
