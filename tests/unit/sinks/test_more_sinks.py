"""Parquet, a file for each frame, a virtual camera; and that sinks show nothing but what was drawn."""

import json
import sys
import types
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from e2pose.core.errors import MissingExtraError, OptionError, OutputError
from e2pose.core.frame import Frame, Origin
from e2pose.core.poses import Poses
from e2pose.core.schema import load_schema
from e2pose.formats.openpose import to_openpose
from e2pose.formats.table import to_header
from e2pose.sinks.letterbox import fitted
from e2pose.sinks.open import open_sink
from e2pose.sinks.video import VideoFileSink
from e2pose.sources.open import open_source
from helpers.media import BLUE, GREEN, RED, decode_audio, decode_video, flat, save, write_clip

COCO = load_schema("coco")
CLIP = Origin("clip.mp4", None, Fraction(25))


def show(frame, poses):
    return frame.image


def moving(index, image=None, origin=CLIP):
    return Frame(flat(RED, (48, 64)) if image is None else image, origin, index, index / 25)


def people(count=2, track_ids=None):
    points = np.arange(count * 34, dtype=np.float32).reshape(count, 17, 2) + 0.25
    scores = np.linspace(0.9, 0.5, count, dtype=np.float32)
    return Poses(points, np.full((count, 17), 0.5, np.float32), scores, COCO, track_ids)


def write_all(sink, frames, poses):
    with sink:
        for frame in frames:
            sink.write(frame, poses)


# Tables.


def test_parquet_holds_the_rows_of_the_table(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    sink = open_sink(tmp_path / "ä.parquet", draw=show)
    write_all(sink, [moving(index) for index in range(700)], people(2, np.array([7, 8])))  # more than a group of rows
    table = parquet.read_table(tmp_path / "ä.parquet")
    assert table.column_names == to_header(COCO)
    assert table.num_rows == 1400
    assert {str(kind) for kind in table.schema.types[:6]} == {"string", "int64", "double", "int32", "float"}
    last = table.slice(1399).to_pylist()[0]
    assert (last["file"], last["frame"], last["time_s"], last["person"]) == ("clip.mp4", 699, 27.96, 1)
    assert (last["track_id"], last["nose_x"], last["nose_score"]) == (8, 34.25, 0.5)


def test_parquet_has_null_where_nothing_is_known_and_no_file_without_frames(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    points = np.full((1, 17, 2), np.nan, np.float32)
    poses = Poses(points, np.zeros((1, 17), np.float32), np.ones(1, np.float32), COCO)
    write_all(open_sink(tmp_path / "a.parquet", draw=show), [moving(0)], poses)
    row = parquet.read_table(tmp_path / "a.parquet").to_pylist()[0]
    assert (row["track_id"], row["nose_x"], row["nose_score"]) == (None, None, 0.0)
    write_all(open_sink(tmp_path / "b.parquet", draw=show), [moving(0)], Poses.empty(COCO))
    assert parquet.read_table(tmp_path / "b.parquet").num_rows == 0
    write_all(open_sink(tmp_path / "c.parquet", draw=show), [], None)
    assert not (tmp_path / "c.parquet").exists()


def test_the_extra_for_parquet(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError) as caught:
        open_sink(tmp_path / "a.parquet", draw=show)
    assert "e2pose[parquet]" in caught.value.hint


# A file for each frame.


def test_frames_as_pictures(tmp_path):
    frames = [moving(0, flat(RED)), moving(1, flat(GREEN)), moving(0, flat(BLUE), Origin("b", None, Fraction(25)))]
    write_all(open_sink(tmp_path / "näw" / "f-%03d.png", draw=show), frames, people())
    assert sorted(path.name for path in (tmp_path / "näw").iterdir()) == ["f-000.png", "f-001.png", "f-002.png"]
    written = [cv2.imdecode(np.fromfile(path, np.uint8), 1) for path in sorted((tmp_path / "näw").iterdir())]
    assert [tuple(image[8, 8, ::-1]) for image in written] == [RED, GREEN, BLUE]


def test_frames_in_the_form_of_openpose(tmp_path):
    write_all(open_sink(tmp_path / "clip_%012d_keypoints.json", draw=show), [moving(0), moving(1)], people(2))
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["clip_000000000000_keypoints.json", "clip_000000000001_keypoints.json"]
    record = json.loads((tmp_path / names[1]).read_text())
    assert record["keypoints"] == list(COCO.keypoints)
    assert [len(person["pose_keypoints_2d"]) for person in record["people"]] == [51, 51]


def test_the_form_of_openpose():
    points = np.full((1, 17, 2), 20.25, np.float32)
    points[0, 3] = np.nan
    poses = Poses(points, np.full((1, 17), 0.5, np.float32), np.ones(1, np.float32), COCO, np.array([4]))
    (person,) = to_openpose(poses)["people"]
    assert person["person_id"] == [4]
    assert person["pose_keypoints_2d"] == [20.25, 20.25, 0.5] * 3 + [0.0, 0.0, 0.0] + [20.25, 20.25, 0.5] * 13
    assert person["face_keypoints_2d"] == person["hand_left_keypoints_2d"] == person["hand_right_keypoints_2d"] == []
    assert to_openpose(people(1))["people"][0]["person_id"] == [-1]
    assert to_openpose(Poses.empty(COCO))["people"] == []


def test_numbers_that_make_no_sense(tmp_path):
    with pytest.raises(OptionError, match="no files for each frame end like that"):
        open_sink(tmp_path / "%d.mp4", draw=show)
    assert type(open_sink(tmp_path / "100%done.png", draw=show)).__name__ == "ImageFileSink"


def test_no_input_is_replaced_by_a_frame(tmp_path):
    picture = save(tmp_path / "1.png", b"mine")
    with pytest.raises(OutputError, match="is an input"):
        write_all(open_sink(tmp_path / "%d.png", draw=show, inputs=[picture]), [moving(0), moving(1)], people())
    assert picture.read_bytes() == b"mine"


# Sizes that change, and shapes.


def test_frames_of_another_size_are_fitted_into_the_first():
    image = fitted(flat(RED, (20, 20)), (40, 80))
    assert image.shape == (40, 80, 3)
    assert tuple(image[20, 40]) == RED
    assert tuple(image[20, 5]) == tuple(image[20, 75]) == (0, 0, 0)
    same = flat(RED, (40, 80))
    assert fitted(same, (40, 80)) is same


@pytest.mark.parametrize("first_hw", [(48, 64), (47, 63)])
def test_a_video_whose_size_changes_stays_one_video(tmp_path, first_hw):
    frames = [moving(0, flat(RED, first_hw)), moving(1, flat(GREEN, (96, 128))), moving(2, flat(BLUE, (24, 24)))]
    write_all(VideoFileSink(tmp_path / "a.mp4", show), frames, people())
    images = decode_video(tmp_path / "a.mp4")[0]
    assert [image.shape for image in images] == [(48, 64, 3)] * 3
    for image, colour in zip(images, (RED, GREEN, BLUE), strict=True):
        assert np.abs(image[24, 32].astype(int) - colour).max() < 12
    assert images[2][24, 2].max() < 12  # a square in a wide picture


def test_pixels_that_are_not_square_stay_so(tmp_path):
    origin = Origin("a", None, Fraction(25), pixel_aspect=Fraction(16, 15))
    write_all(VideoFileSink(tmp_path / "a.mp4", show), [moving(0, origin=origin)], people())
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert container.streams.video[0].sample_aspect_ratio == Fraction(16, 15)


def clip_with_two_tracks(path, second):
    silent = write_clip(path.with_name("one.mp4"), [flat(RED, (48, 64))] * 25, sound="aac")
    with av.open(str(silent)) as source, av.open(str(path), "w") as target:
        video = target.add_stream_from_template(source.streams.video[0])
        first = target.add_stream_from_template(source.streams.audio[0])
        first.metadata["language"] = "deu"
        other = target.add_stream(second, rate=48_000, layout="mono")
        other.metadata["language"] = "fra"
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = video if packet.stream.type == "video" else first
                target.mux(packet)
        for start in range(0, 48_000, 960):
            wave = av.AudioFrame.from_ndarray(np.zeros((1, 960), np.int16), format="s16", layout="mono")
            wave.rate, wave.pts, wave.time_base = 48_000, start, Fraction(1, 48_000)
            target.mux(other.encode(wave))
        target.mux(other.encode(None))
    return path


@pytest.mark.parametrize(("second", "becomes"), [("aac", "aac"), ("pcm_s16le", "aac")])
def test_all_sound_tracks_are_kept(tmp_path, second, becomes):
    with open_source(clip_with_two_tracks(tmp_path / "a.mkv", second)) as source:
        write_all(VideoFileSink(tmp_path / "b.mp4", show), source, people())
    with av.open(str(tmp_path / "b.mp4")) as container:
        tracks = container.streams.audio
        assert [(track.codec_context.codec.canonical_name, track.language) for track in tracks] == [
            ("aac", "deu"),
            (becomes, "fra"),
        ]
        seconds = [float(track.duration * track.time_base) for track in tracks]
    assert seconds == pytest.approx([1.0, 1.0], abs=0.08)


def test_joined_recordings_keep_all_their_sound(tmp_path):
    once = write_clip(tmp_path / "a.mts", [flat(RED, (48, 64))] * 25, sound="aac").read_bytes()
    with open_source(save(tmp_path / "joined.mts", once + once), on_error=lambda _: None) as source:
        write_all(VideoFileSink(tmp_path / "b.mp4", show), source, people())
    assert decode_audio(tmp_path / "b.mp4")[1] == pytest.approx(2.0, abs=0.15)
    assert decode_video(tmp_path / "b.mp4")[1][-1] == pytest.approx(2.0, abs=0.15)


# A virtual camera, without a driver.


class Driver(types.ModuleType):
    """What pyvirtualcam does, without a driver."""

    def __init__(self):
        super().__init__("pyvirtualcam")
        self.sent = []

    def Camera(self, width, height, fps, device):
        if device == "/dev/none":
            raise RuntimeError("device not found")
        self.width, self.height, self.fps, self.device, self.is_closed = width, height, fps, device, False
        return self

    def send(self, image):
        self.sent.append(image)

    def close(self):
        self.is_closed = True


@pytest.fixture
def driver(monkeypatch):
    module = Driver()
    monkeypatch.setitem(sys.modules, "pyvirtualcam", module)
    return module


@pytest.mark.parametrize(("text", "device"), [("camera:", None), ("camera:/dev/video2", "/dev/video2")])
def test_a_virtual_camera(driver, text, device):
    frames = [moving(0), moving(1, flat(GREEN, (96, 128)))]
    write_all(open_sink(text, draw=show), frames, people())
    assert (driver.width, driver.height, driver.fps, driver.device) == (64, 48, 25.0, device)
    assert [image.shape for image in driver.sent] == [(48, 64, 3)] * 2
    assert [tuple(image[20, 20]) for image in driver.sent] == [RED, GREEN]
    assert driver.is_closed


def test_a_virtual_camera_that_is_not_there(driver, monkeypatch):
    with pytest.raises(OutputError, match="device not found") as caught:
        write_all(open_sink("camera:/dev/none", draw=show), [moving(0)], people())
    assert "v4l2loopback" in caught.value.hint
    monkeypatch.setitem(sys.modules, "pyvirtualcam", None)
    with pytest.raises(MissingExtraError):
        open_sink("camera:", draw=show)


# Nothing but what was drawn.


SECRET = cv2.resize((np.indices((12, 16)).sum(axis=0) % 2 * np.uint8(255)).astype(np.uint8), (64, 48), None, 0, 0, 0)
SECRET = np.repeat(SECRET[..., None], 3, axis=2)
TARGETS = ["a.mp4", "a.mov", "a.mkv", "a.png", "a.jpg", "a.webp", "a.bmp", "a.tif", "%d.png", "folder/"]


@pytest.mark.parametrize("target", [*TARGETS, "camera:"])
def test_no_sink_shows_a_pixel_that_was_not_drawn(tmp_path, target, driver):
    """The picture is a secret and what is drawn is grey: whatever any sink shows, from its first frame on, is grey."""

    def grey(frame, poses):
        return np.full_like(frame.image, 128)

    sink = open_sink(target if target == "camera:" else f"{tmp_path}/{target}", draw=grey)
    still = Path(target).suffix in (".png", ".jpg", ".webp", ".bmp", ".tif") and "%" not in target
    origin = Origin("in.png", Path("in.png")) if still else CLIP
    write_all(sink, [moving(index, SECRET, origin) for index in range(1 if still else 5)], people())
    shown = driver.sent + [image for path in tmp_path.rglob("*.*") for image in pictures_in(path)]
    assert len(shown) == (1 if still else 5)
    assert all(np.abs(image.astype(int) - 128).max() <= 3 for image in shown)


def pictures_in(path):
    if path.suffix in (".mp4", ".mov", ".mkv"):
        return decode_video(path)[0]
    return [cv2.imread(str(path))]
