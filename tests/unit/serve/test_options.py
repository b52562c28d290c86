import pytest

from e2pose.core.errors import OptionError
from e2pose.serve.options import ServeOptions


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"port": -1}, "--port must be between 0 and 65535, not -1"),
        ({"port": 65536}, "--port"),
        ({"parallel": 0}, "--parallel must be between 1 and 64, not 0"),
        ({"queue": -1}, "--queue"),
        ({"timeout": 0.0}, "--timeout"),
        ({"timeout": float("nan")}, "--timeout must be between 0.1 and 3600, not nan"),
        ({"timeout": float("inf")}, "--timeout"),
        ({"max_megabytes": 0.0}, "--max-megabytes"),
        ({"max_megapixels": -1.0}, "--max-megapixels"),
        ({"max_sessions": -1}, "--max-sessions"),
        ({"allow_host": ("http://example.com",)}, "--allow-host must be a host name"),
        ({"allow_host": ("*",)}, "--allow-host"),
        ({"allow_host": ("*.example.com",)}, "--allow-host"),
        ({"allow_host": ("",)}, "--allow-host"),
        ({"allow_host": ("a.com/",)}, "--allow-host"),
        ({"allow_origin": ("*",)}, "--allow-origin"),
        ({"allow_origin": ("null",)}, "--allow-origin"),
        ({"allow_origin": ("example.com",)}, "--allow-origin must be scheme, host and port"),
        ({"allow_origin": ("https://example.com/",)}, "--allow-origin"),
        ({"allow_origin": ("https://a.com,https://b.com",)}, "--allow-origin"),
    ],
)
def test_invalid_option_is_an_error_with_a_hint(options: dict, message: str) -> None:
    with pytest.raises(OptionError) as error:
        ServeOptions(**options)
    assert message in error.value.message
    assert error.value.hint


def test_certificate_needs_a_key_and_the_reverse(tmp_path) -> None:
    for option in ("tls_cert", "tls_key"):
        with pytest.raises(OptionError, match="must be used together"):
            ServeOptions(**{option: tmp_path})


def test_valid_hosts_and_origins_are_accepted() -> None:
    ServeOptions(
        allow_host=("example.com", "Poses.Example.com:8443", "192.168.1.5", "[fe80::1]:80", "server"),
        allow_origin=("https://example.com", "http://localhost:3000"),
    )


def test_limits_are_in_bytes_and_pixels() -> None:
    options = ServeOptions(max_megabytes=0.5, max_megapixels=2.5)
    assert (options.max_bytes, options.max_pixels, options.max_live_bytes) == (500_000, 2_500_000, 500_000)
    assert ServeOptions().max_live_bytes == 2 << 20
