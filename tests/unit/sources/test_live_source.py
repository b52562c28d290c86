"""Live sources: they come back by themselves, with any size; a real server on loopback is killed and started again."""

import functools
import sys
import threading
import time
import types
from fractions import Fraction

import cv2
import numpy as np
import pytest

from e2pose.core.errors import InputError, MissingExtraError, OptionError
from e2pose.sources.live import LiveSource
from e2pose.sources.open import open_source
from e2pose.sources.prefetch import LatestFrame
from e2pose.sources.stream import StreamConnection
from e2pose.sources.video import VideoSource
from helpers.media import BLUE, GREEN, RED, WHITE, flat, save, write_clip
from helpers.servers import Camera, motion_jpeg, rtsp, transport_stream

SERVERS = {"http": transport_stream, "mjpeg": motion_jpeg, "rtsp": rtsp}


@pytest.fixture(params=SERVERS)
def camera(request):
    camera = Camera(SERVERS[request.param])
    camera.address = f"{'rtsp' if request.param == 'rtsp' else 'http'}://127.0.0.1:{camera.port}/one"
    yield camera
    camera.kill()


def test_a_server_that_is_killed_three_times(camera):
    notices = []
    looks = [((64, 96), GREEN), ((48, 64), BLUE), ((32, 48), WHITE)]
    source = LiveSource("it", lambda: StreamConnection(camera.address), on_notice=notices.append, pause_s=0.05)
    seen = {}
    with source:
        for frame in source:
            colour = tuple(np.round(frame.image.mean(axis=(0, 1)) / 255).astype(int) * 255)
            seen.setdefault((frame.size_hw, colour), []).append((frame.index, frame.time_s))
            if len(seen) == len(notices) // 2 + 1 and len(list(seen.values())[-1]) == 5:
                if not looks:
                    break
                camera.kill()
                camera.size_hw, camera.colour = looks.pop(0)
                threading.Timer(0.3, camera.start).start()
    assert list(seen) == [((48, 64), RED), ((64, 96), GREEN), ((48, 64), BLUE), ((32, 48), WHITE)]
    moments = [moment for moments in seen.values() for moment in moments]
    assert [index for index, _ in moments] == list(range(len(moments)))
    times_s = [time_s for _, time_s in moments]
    assert times_s[0] == 0
    assert times_s == sorted(times_s)
    assert [notice.split()[0] for notice in notices] == ["lost", "connected"] * 3


def test_a_stall_is_noticed(camera):
    notices = []

    def notice(text):
        notices.append(text)
        camera.is_stalled = False

    connect = functools.partial(StreamConnection, camera.address, stall_s=0.5)
    with LiveSource("it", connect, on_notice=notice, pause_s=0.05) as source:
        for frame in source:
            camera.is_stalled = frame.index == 3 or (camera.is_stalled and not notices)
            if len(notices) == 2:
                break
    assert "no picture came for 0.5 s" in notices[0]
    assert notices[1] == "connected to 'it' again"
    assert camera.clients >= 2


def test_the_usual_patience_is_less_than_five_seconds():
    from e2pose.sources.stream import STALL_S

    assert STALL_S < 5


def test_an_address_is_live_without_its_password(camera):
    notices = []
    address = camera.address.replace("://", "://me:secret@")
    with open_source(address, on_notice=notices.append) as source:
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


def test_a_video_file_of_a_server_is_read_like_a_file(tmp_path):
    data = write_clip(tmp_path / "a.mp4", [flat(RED, (48, 64))] * 9, movflags="+faststart").read_bytes()

    def file(camera, stream):
        while lines := stream.readline().strip():
            pass
        assert not lines
        stream.write(b"HTTP/1.0 200 OK\r\nContent-Type: video/mp4\r\nContent-Length: %d\r\n\r\n" % len(data) + data)

    server = Camera(file)
    with open_source(f"http://127.0.0.1:{server.port}/a.mp4") as source:
        assert isinstance(source, VideoSource)
        assert (source.info.is_live, source.info.frame_count) == (False, 9)
        frames = list(source)
    server.kill()
    assert [frame.time_s for frame in frames] == pytest.approx([index / 25 for index in range(9)])


class Link:
    """A connection to nothing, which gives some pictures and ends or fails."""

    rate = Fraction(30)

    def __init__(self, count, error=None):
        self.count, self.error, self.is_closed = count, error, False

    def __iter__(self):
        for _ in range(self.count):
            yield flat(RED)
        if self.error:
            raise self.error

    def close(self):
        self.is_closed = True


def connecting(*links):
    """Makes the connections in turn; errors among them are raised."""
    rest = list(links)

    def connect():
        link = rest.pop(0)
        if isinstance(link, Exception):
            raise link
        return link

    return connect


def test_pauses_grow_until_pictures_come_again():
    pauses = []

    class Stopwatch(threading.Event):
        def wait(self, timeout=None):
            pauses.append(timeout)
            return self.is_set()

    down = InputError("down")
    links = [Link(2), down, down, Link(0), down, down, down, down, Link(1), Link(1)]
    source = LiveSource("it", connecting(*links))
    source._closed = Stopwatch()
    frames = iter(source)
    assert [next(frames).index for _ in range(4)] == [0, 1, 2, 3]
    assert pauses == [0.5, 1, 2, 4, 8, 10, 10, 10, 0.5]
    frames.close()
    assert all(link.is_closed for link in links if isinstance(link, Link))


def test_no_connection_at_the_beginning_is_an_error():
    with pytest.raises(InputError, match="down"):
        LiveSource("it", connecting(InputError("down")))


@pytest.mark.parametrize("read", [0, 1])
def test_leaving_lets_the_device_go(read):
    link = Link(5)
    with LiveSource("it", connecting(link)) as source:
        frames = iter(source)
        for _ in range(read):
            next(frames)
    assert list(frames) == []
    assert link.is_closed


def test_leaving_ends_the_wait_for_a_connection():
    source = LiveSource("it", connecting(Link(1), *[InputError("down")] * 99), pause_s=0.1)
    with LatestFrame(source) as newest:
        threading.Timer(0.3, newest.stop).start()
        start = time.monotonic()
        assert len(list(newest)) == 1
    assert time.monotonic() - start < 5


class Webcam:
    """What OpenCV opens, without a camera."""

    there = True

    def __init__(self, number):
        self.number, self.left, self.is_released = number, 3, False
        Webcam.last = self

    def isOpened(self):
        return self.there

    def set(self, *_):
        return True

    def get(self, _):
        return 29.97002997

    def read(self):
        self.left -= 1
        return self.left >= 0, flat(BLUE)[..., ::-1]

    def release(self):
        self.is_released = True


@pytest.mark.parametrize("text", ["2", "/dev/video2"])
def test_a_camera_by_its_number(monkeypatch, text):
    monkeypatch.setattr(cv2, "VideoCapture", Webcam)
    notices = []
    with open_source(text, on_notice=notices.append) as source:
        assert source.info.is_live
        frames = iter(source)
        first = [next(frames) for _ in range(3)]
        used = Webcam.last
        Webcam.there = False
        threading.Timer(0.8, lambda: setattr(Webcam, "there", True)).start()
        again = next(frames)
        frames.close()
    assert used.number == 2
    assert used.is_released
    assert Webcam.last is not used
    assert [frame.index for frame in [*first, again]] == [0, 1, 2, 3]
    assert tuple(again.image[8, 8]) == BLUE
    assert again.origin.rate == Fraction(30_000, 1001)
    assert "it gives no pictures any more" in notices[0]


def test_a_live_source_is_given_alone(tmp_path):
    save(tmp_path / "a.png", b"")
    errors = []
    open_source([tmp_path / "a.png", "0", "rtsp://me:secret@camera/1", "screen:"], on_error=errors.append)
    assert [error.message.partition(" is ")[0] for error in errors] == ["'0'", "'rtsp://camera/1'", "'screen:'"]
    assert all("give it alone" in error.hint for error in errors)


class Screens:
    """What mss gives, without a screen."""

    monitors = [  # noqa: RUF012
        {"left": 0, "top": 0, "width": 60, "height": 20},
        {"left": 0, "top": 0, "width": 40, "height": 20},
        {"left": 40, "top": 0, "width": 20, "height": 20},
    ]

    def grab(self, region):
        pixels = np.full((region["height"], region["width"], 4), [*BLUE[::-1], 0], np.uint8)
        pixels[:, 0, :3] = region["left"]
        return types.SimpleNamespace(bgra=pixels.tobytes(), height=region["height"], width=region["width"])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


@pytest.fixture
def screens(monkeypatch):
    module = types.SimpleNamespace(MSS=Screens, ScreenShotError=RuntimeError)
    monkeypatch.setitem(sys.modules, "mss", module)
    return module


@pytest.mark.parametrize(
    ("text", "size_hw", "left"),
    [("screen:", (20, 40), 0), ("screen:2", (20, 20), 40), ("screen:7,3,30,10", (10, 30), 7)],
)
def test_a_screen_or_a_part_of_it(screens, text, size_hw, left):
    with open_source(text) as source:
        frames = iter(source)
        images = [next(frames).image for _ in range(3)]
        frames.close()
    assert [image.shape[:2] for image in images] == [size_hw] * 3
    assert tuple(images[0][5, 5]) == BLUE
    assert tuple(images[0][5, 0]) == (left,) * 3


@pytest.mark.parametrize("text", ["screen:0", "screen:3"])
def test_a_screen_that_is_not_there(screens, text):
    with pytest.raises(InputError, match="there is no screen"):
        open_source(text)


@pytest.mark.parametrize("text", ["screen:left", "screen:1,2,3", "screen:1,2,0,4"])
def test_a_text_that_is_no_part_of_a_screen(screens, text):
    with pytest.raises(OptionError, match="is no part of a screen"):
        open_source(text)


def test_a_machine_without_a_screen(screens):
    def refuse():
        raise RuntimeError("$DISPLAY not set")

    screens.MSS = refuse
    with pytest.raises(InputError, match="DISPLAY not set"):
        open_source("screen:")


def test_the_extra_for_screens(monkeypatch):
    monkeypatch.setitem(sys.modules, "mss", None)
    with pytest.raises(MissingExtraError) as caught:
        open_source("screen:")
    assert "e2pose[screen]" in caught.value.hint
