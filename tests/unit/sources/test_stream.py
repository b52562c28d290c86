"""Streams from a real server on the loopback interface: reconnecting, timeouts, credentials."""

import functools
import signal
import threading

import av
import numpy as np
import pytest

from e2pose.core.errors import InputError
from e2pose.sources import video
from e2pose.sources.base import call_in_thread
from e2pose.sources.live import LiveSource
from e2pose.sources.open import open_source
from e2pose.sources.prefetch import LatestFrame
from e2pose.sources.stream import STALL_TIMEOUT_S, StreamConnection
from e2pose.sources.video import VideoSource
from helpers.media import BLUE, GREEN, RED, WHITE, flat, noise, write_clip
from helpers.servers import Camera, motion_jpeg, request, rtsp, transport_stream, video_then_audio

SERVERS = {"http": transport_stream, "mjpeg": motion_jpeg, "rtsp": rtsp}


@pytest.fixture(params=SERVERS)
def camera(request):
    camera = Camera(SERVERS[request.param])
    camera.address = f"{'rtsp' if request.param == 'rtsp' else 'http'}://127.0.0.1:{camera.port}/one"
    yield camera
    camera.kill()


def test_stream_reconnects_to_a_restarted_server(camera):
    """The server restarts three times, each time with another image size and colour."""
    notices = []
    remaining = [((64, 96), GREEN), ((48, 64), BLUE), ((32, 48), WHITE)]
    source = LiveSource("it", lambda: StreamConnection(camera.address), on_notice=notices.append, first_delay_s=0.05)
    received = {}
    with source:
        for frame in source:
            colour = tuple(np.round(frame.image.mean(axis=(0, 1)) / 255).astype(int) * 255)
            received.setdefault((frame.size_hw, colour), []).append((frame.index, frame.time_s))
            if len(received) == len(notices) // 2 + 1 and len(list(received.values())[-1]) == 5:
                if not remaining:
                    break
                camera.kill()
                camera.size_hw, camera.colour = remaining.pop(0)
                threading.Timer(0.3, camera.start).start()  # some attempts fail before the restart
    assert list(received) == [((48, 64), RED), ((64, 96), GREEN), ((48, 64), BLUE), ((32, 48), WHITE)]
    moments = [moment for moments in received.values() for moment in moments]
    assert [index for index, _ in moments] == list(range(len(moments)))
    times_s = [time_s for _, time_s in moments]
    assert times_s[0] == 0
    assert times_s == sorted(times_s)
    assert [notice.split()[0] for notice in notices] == ["lost", "reconnected"] * 3


def test_stalled_stream_is_reconnected(camera):
    notices = []

    def on_notice(text):
        notices.append(text)
        camera.is_stalled = False

    connect = functools.partial(StreamConnection, camera.address, stall_timeout_s=0.5)
    with LiveSource("it", connect, on_notice=on_notice, first_delay_s=0.05) as source:
        for frame in source:
            camera.is_stalled = frame.index == 3 or (camera.is_stalled and not notices)
            if len(notices) == 2:
                break
    assert "no image arrived for 0.5 s" in notices[0]
    assert notices[1] == "reconnected to 'it'"
    assert camera.clients >= 2


def test_audio_does_not_hide_a_stalled_video():
    server = Camera(video_then_audio)
    connection = StreamConnection(f"http://127.0.0.1:{server.port}/one", stall_timeout_s=0.5)
    with pytest.raises(InputError, match=r"no image arrived for 0\.5 s"):
        list(connection)
    connection.close()
    server.kill()


def test_default_stall_timeout_is_the_documented_one():
    assert STALL_TIMEOUT_S == 4


def test_password_of_a_stream_is_neither_in_outputs_nor_in_errors(camera):
    address = camera.address.replace("://", "://me:secret@")
    with open_source(address) as source:
        assert (source.info.is_live, source.info.frame_count, source.info.paths) == (True, None, ())
        with LatestFrame(source) as newest:
            frame = next(iter(newest))
            assert frame.origin.name == camera.address
            assert frame.origin.path is None
            assert not frame.origin.is_still
    camera.kill()
    with pytest.raises(InputError, match="cannot open the stream") as caught:
        open_source(address)
    assert "secret" not in str(caught.value) + caught.value.hint


def serve_file(data, length):
    """Starts a server that states a file length and sends this data."""

    def send(camera, stream):
        request(stream)
        stream.write(b"HTTP/1.0 200 OK\r\nContent-Type: video/mp4\r\nContent-Length: %d\r\n\r\n" % length + data)

    return Camera(send)


def test_address_of_a_video_file_is_read_like_a_file(tmp_path):
    data = write_clip(tmp_path / "a.mp4", [flat(RED, (48, 64))] * 9, movflags="+faststart").read_bytes()
    server = serve_file(data, len(data))
    with open_source(f"http://127.0.0.1:{server.port}/a.mp4") as source:
        assert isinstance(source, VideoSource)
        assert (source.info.is_live, source.info.frame_count) == (False, 9)
        frames = list(source)
    server.kill()
    assert [frame.time_s for frame in frames] == pytest.approx([index / 25 for index in range(9)])


def test_lost_connection_to_a_video_file_keeps_all_received_frames(tmp_path):
    data = write_clip(tmp_path / "a.mp4", noise(50), movflags="+faststart").read_bytes()
    server = serve_file(data[: len(data) * 7 // 10], len(data))
    frames = []
    with (
        pytest.raises(InputError, match=r"0\.6 s are missing at the end"),
        VideoSource(f"http://127.0.0.1:{server.port}/a.mp4") as source,
    ):
        for frame in source:
            frames.append(frame)  # noqa: PERF402 - keeps those before the error
    server.kill()
    assert 33 <= len(frames) <= 35  # with those that the decoder still held when the connection was lost


@pytest.mark.parametrize(("suffix", "container"), [(".ts", "mpegts"), (".h264", "h264")])
def test_file_that_states_only_its_length_ends(tmp_path, suffix, container):
    """Many servers cannot seek, so that FFmpeg does not know the duration of these formats."""
    data = write_clip(tmp_path / f"a{suffix}", [flat(RED, (48, 64))] * 9, container=container).read_bytes()
    server = serve_file(data, len(data))
    with open_source(f"HTTP://127.0.0.1:{server.port}/a{suffix}") as source:
        assert not source.info.is_live
        assert len(list(source)) == 9
    server.kill()


def test_foreign_exception_in_a_video_at_an_address_is_its_failure(tmp_path, monkeypatch):
    data = write_clip(tmp_path / "a.mp4", [flat(RED, (48, 64))] * 9, movflags="+faststart").read_bytes()
    server = serve_file(data, len(data))
    errors, convert = [], video.upright_rgb

    def fail_at_the_fourth(frame):
        if frame.pts * frame.time_base > 0.1:
            raise KeyError("odd")
        return convert(frame)

    monkeypatch.setattr(video, "upright_rgb", fail_at_the_fourth)
    with open_source(f"http://127.0.0.1:{server.port}/a.mp4?key=secret", on_error=errors.append) as source:
        assert len(list(source)) == 3
    server.kill()
    (error,) = errors
    assert "a.mp4' cannot be read: KeyError" in error.message
    assert "secret" not in error.message


def test_ctrl_c_while_connecting_is_raised_after_the_attempt():
    """PyAV would discard it in the main thread."""
    attempts = []

    def connect():
        attempts.append(threading.current_thread())
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        call_in_thread(connect)
    assert attempts != [threading.main_thread()]
    assert not attempts[0].is_alive()


@pytest.mark.parametrize("connect", [StreamConnection, VideoSource])
def test_addresses_are_opened_in_another_thread(monkeypatch, connect):
    threads = []

    def refuse(*_, **__):
        threads.append(threading.current_thread())
        raise av.error.ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(av, "open", refuse)
    with pytest.raises(InputError, match="Connection refused"):
        connect("http://127.0.0.1:1/a.mp4")
    assert len(threads) == 1
    assert threads != [threading.main_thread()]
