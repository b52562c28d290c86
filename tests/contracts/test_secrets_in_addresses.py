"""No sink and no message contains the password or the query of an address."""

import traceback

import pytest

from e2pose.cli.app import main
from e2pose.core.errors import E2PoseError
from e2pose.evaluation.evaluate import evaluate
from e2pose.inference.estimator import load
from e2pose.live.snapshot import save_snapshot
from e2pose.sinks.open import open_sink
from e2pose.sources.open import open_source
from helpers.media import RED, draw_negative, files_in, flat, some_persons, write_clip
from helpers.servers import Camera, motion_jpeg, request

TARGETS = ["a.mp4", "a.json", "a.jsonl", "a.csv", "a.parquet", "folder/", "%06d.json", "%06d.png"]
SECRETS = "me:s3cret@", "?user=s3cret&pwd=s3cret&X-Amz-Signature=s3cret#s3cret"


def with_secrets(address):
    """Adds user name, password, query and fragment to an address."""
    return address.replace("://", f"://{SECRETS[0]}") + SECRETS[1]


@pytest.fixture(scope="module")
def stream_frames():
    """Three frames of a live stream whose address has secrets."""
    camera = Camera(motion_jpeg)
    with open_source(with_secrets(f"http://127.0.0.1:{camera.port}/live.mjpg")) as source:
        assert source.info.is_live
        frames = [frame for frame, _ in zip(source, range(3), strict=False)]
    camera.kill()
    return frames


@pytest.fixture
def video_address(tmp_path_factory):
    """The address of a video file on a server, with secrets."""
    data = write_clip(tmp_path_factory.mktemp("served") / "a.mp4", [flat(RED, (48, 64))] * 5, movflags="+faststart")
    data = data.read_bytes()

    def send(_, stream):
        request(stream)
        stream.write(b"HTTP/1.0 200 OK\r\nContent-Type: video/mp4\r\nContent-Length: %d\r\n\r\n" % len(data) + data)

    server = Camera(send)
    yield with_secrets(f"http://127.0.0.1:{server.port}/a.mp4")
    server.kill()


def assert_no_secret(folder, *texts):
    for text in texts:
        assert "s3cret" not in text
    for name in files_in(folder):
        assert "s3cret" not in name
        assert b"s3cret" not in (folder / name).read_bytes(), name


@pytest.mark.parametrize("target", TARGETS)
def test_sinks_record_a_stream_without_secrets(tmp_path, stream_frames, target):
    with open_sink(f"{tmp_path}/{target}", draw=draw_negative) as sink:
        for frame in stream_frames:
            sink.write(frame, some_persons(1))
    assert files_in(tmp_path)
    assert_no_secret(tmp_path, stream_frames[0].origin.name, repr(stream_frames[0].origin))


@pytest.mark.parametrize("target", ["a.png", "a.mp4"])
def test_errors_of_sinks_have_no_secrets(tmp_path, stream_frames, target):
    first, second, _ = stream_frames
    with open_sink(f"{tmp_path}/{target}", draw=draw_negative) as sink:
        sink.write(first, some_persons(1))
        if target == "a.png":
            with pytest.raises(E2PoseError) as caught:
                sink.write(second, some_persons(1))
            assert "s3cret" not in "".join(traceback.format_exception(caught.value)) + caught.value.hint


def test_snapshots_are_named_without_secrets(tmp_path, stream_frames):
    assert save_snapshot(stream_frames[0].image, stream_frames[0], tmp_path).name == "live.mjpg-000000.png"


def test_command_writes_a_served_video_without_secrets(tmp_path, video_address, tiny_model, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outputs = [word for target in TARGETS for word in ("-o", f"out/{target}")]
    assert main(["predict", video_address, "--model", str(tiny_model), *outputs]) == 0
    printed = capsys.readouterr()
    assert len(files_in(tmp_path)) == 5 + 1 + 5 + 5
    assert_no_secret(tmp_path, printed.out, printed.err)


ADDRESSES = {
    "refused": "http://me:s3cret@127.0.0.1:9/a.mp4?pwd=s3cret",
    "refused srt": "srt://127.0.0.1:9?passphrase=s3cretpass",
    "refused rtsp": "rtsp://me:s3cret@127.0.0.1:9/x",
    "slash in the password": "rtsp://me:s3/s3cret@127.0.0.1:9/x",
    "unknown scheme": "ftp://me:s3cret@127.0.0.1:9/x?s3cret",
    "one slash": "rtsp:/me:s3cret@127.0.0.1:9/x",
    "long": "http://me:s3cret@127.0.0.1:9/x?" + "s3cret" * 900,
}


@pytest.mark.parametrize("address", ADDRESSES.values(), ids=ADDRESSES)
@pytest.mark.parametrize("others", [[], ["samples/park.jpg"]], ids=["alone", "with another input"])
def test_errors_of_the_command_have_no_secrets(tmp_path, address, others, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["predict", address, *others, "-o", "a.jsonl"]) == 1
    printed = capfd.readouterr()
    assert "error:" in printed.err
    assert_no_secret(tmp_path, printed.out, printed.err)


WRONG_PLACES = [
    ["predict", "missing.jpg", "--model"], ["predict", "missing.jpg", "-o"], ["predict", "missing.jpg", "--device"],
    ["predict", "missing.jpg", "--blur"], ["models"], [], ["evaluate"], ["export"], ["convert"], ["train"],
    ["doctor", "data"], ["bench"],
]  # fmt: skip


@pytest.mark.parametrize("words", WRONG_PLACES, ids=" ".join)
def test_address_in_a_wrong_place_is_reported_without_secrets(tmp_path, words, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main([*words, ADDRESSES["refused"]]) in (1, 2)
    printed = capfd.readouterr()
    assert "error:" in printed.err
    assert_no_secret(tmp_path, printed.out, printed.err)


@pytest.mark.parametrize("address", ADDRESSES.values(), ids=ADDRESSES)
def test_traceback_of_a_source_has_no_secrets(address):
    with pytest.raises(E2PoseError) as caught:
        open_source(address)
    assert "s3cret" not in "".join(traceback.format_exception(caught.value)) + caught.value.hint


@pytest.mark.parametrize("address", ADDRESSES.values(), ids=ADDRESSES)
def test_functions_that_take_no_address_report_it_without_secrets(address, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for act in (
        lambda: load(address),
        lambda: load()(address),
        lambda: evaluate(load(), address, tmp_path),
        lambda: open_sink(address, draw=draw_negative),
    ):
        try:
            act()  # with one slash, it is the path of a folder that can be created
        except E2PoseError as error:
            assert "s3cret" not in str(error) + error.hint
