"""Addresses in outputs and messages contain no secrets."""

import pickle
from pathlib import Path

import pytest

from e2pose.core.address import redact_address, redact_text
from e2pose.core.errors import E2PoseError, InputError, MissingExtraError

REDACTED = {
    "rtsp://admin:s3cret@192.168.0.20/stream1": "rtsp://192.168.0.20/stream1",
    "rtsp://admin:s3cret@[fe80::1]:554/stream1": "rtsp://[fe80::1]:554/stream1",
    "rtsp://s3cret@cam/": "rtsp://cam/",
    "rtsp://a:s3@cret@cam/x": "rtsp://cam/x",
    "RTSPS://a:s3cret@cam": "RTSPS://cam",
    "http://cam:81/a.mp4?user=a&pwd=s3cret": "http://cam:81/a.mp4",
    "https://store/a.mp4?X-Amz-Signature=s3cret&X-Amz-Date=1": "https://store/a.mp4",
    "https://store:1/a.mp4?sig=s3cret@x": "https://***",
    "https://store/a.mp4?sig=s3cret@x": "https://store/a.mp4",
    "https://store/a.mp4#access_token=s3cret": "https://store/a.mp4",
    "srt://cam:9?passphrase=s3cret&streamid=s3cret": "srt://cam:9",
    "rtsp://cam?s3cret": "rtsp://cam",
    "rtsp://admin:s3/cret@cam/x": "rtsp://***",
    "rtsp://admin:12?s3cret@cam/x": "rtsp://***",
    "rtsp://admin:s3#cret@cam/x": "rtsp://***",
    r"rtsp://admin:s3\cret@cam/x": "rtsp://***",
    " rtsp://a:s3cret@cam/x": " rtsp://cam/x",
    "rtsp:/a:s3cret@cam/x": "rtsp:/cam/x",
    "rtsp:a:s3cret@cam/x": "rtsp:cam/x",
    "ftp://a:s3cret@cam/x": "ftp://cam/x",
    "rtsp://a:s3 cret@cam/x": "rtsp://cam/x",
    "rtsp://a:s3'cret@cam/x": "rtsp://cam/x",
}
UNCHANGED = [
    "a.mp4", "/data/@home/a?b#c.mp4", r"C:\clips\a.mp4", "clips/*.mp4", "12:30@noon.mp4", "https://host/@user/a.mp4",
    "udp://239.0.0.1:1234", "screen:100,200,640,480",
]  # fmt: skip


@pytest.mark.parametrize(("address", "expected"), REDACTED.items())
def test_address_has_neither_credentials_nor_query(address, expected):
    assert redact_address(address) == expected
    assert "s3" not in expected


@pytest.mark.parametrize("name", UNCHANGED)
def test_names_without_secrets_stay_as_they_are(name):
    assert redact_address(name) == redact_text(name) == name


def test_path_of_an_address_is_redacted():
    assert redact_address(Path("rtsp://a:s3cret@cam/x")) == "rtsp:/cam/x"


def test_errors_redact_every_address_in_their_text():
    error = InputError(
        "cannot open 'rtsp://a:s3cret@cam/x?k=s3cret': timeout (http://b:s3cret@h)", "try srt://c?s3cret"
    )
    assert error.message == str(error)
    assert error.message.startswith("cannot open 'rtsp://cam/x': timeout (http://h")
    assert "s3cret" not in str(error) + error.hint + repr(error) + "".join(map(str, error.args))


@pytest.mark.parametrize("error", [InputError("no file 'a'", "check it"), MissingExtraError("mss", "screen")])
def test_errors_pass_between_processes(error):
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert isinstance(copy, E2PoseError)
    assert (copy.message, copy.hint, str(copy)) == (error.message, error.hint, str(error))
