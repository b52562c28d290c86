"""FolderSink: one file for each image and video."""

import cv2
import pytest

from e2pose.core.errors import OutputError
from e2pose.core.frame import IN_MEMORY, Frame
from e2pose.sinks.folder import FolderSink
from e2pose.sinks.images import ImageFileSink
from e2pose.sinks.open import open_sink
from e2pose.sinks.video import VideoFileSink
from e2pose.sources.open import open_source
from helpers.media import (
    BLUE,
    GREEN,
    HALVES,
    RED,
    assert_colour,
    decode_video,
    draw_nothing,
    encode,
    files_in,
    flat,
    save,
    some_persons,
    still_frame,
    video_frame,
    write_clip,
    write_frames,
)


def test_images_and_videos_keep_their_names(tmp_path):
    save(tmp_path / "in/a.jpg", encode(HALVES, ".jpg"))
    save(tmp_path / "in/B.PNG", encode(HALVES))
    save(tmp_path / "in/c.jp2", encode(HALVES, ".jp2"))
    write_clip(tmp_path / "in/d.mkv", [HALVES] * 5)
    write_clip(tmp_path / "in/e.mov", [HALVES] * 3)
    out = tmp_path / "out"
    with open_source(tmp_path / "in") as frames, FolderSink(out, draw_nothing) as sink:
        for frame in frames:
            sink.write(frame, some_persons(0))
            if frame.origin.name.endswith("e.mov"):
                assert (out / "d.mp4").exists()  # completed by the first frame of the next video
    assert files_in(out) == ["B.PNG", "a.jpg", "c.png", "d.mp4", "e.mp4"]
    assert [path.name for path in sink.written] == ["a.jpg", "B.PNG", "c.png", "d.mp4", "e.mp4"]
    assert len(decode_video(out / "d.mp4")[0]) == 5
    assert len(decode_video(out / "e.mp4")[0]) == 3


def test_inputs_with_the_same_name_get_a_number(tmp_path):
    frames = [
        still_frame("x/a.jpg", flat(RED)),
        still_frame("y/a.jpg", flat(GREEN)),
        still_frame("z/A.jpg", flat(BLUE)),
        video_frame(0, name="v/a.mov"),
        video_frame(0, name="w/a.avi"),
    ]
    write_frames(FolderSink(tmp_path, draw_nothing), frames)
    assert files_in(tmp_path) == ["A-3.jpg", "a-2.jpg", "a-2.mp4", "a.jpg", "a.mp4"]
    for name, colour in (("a.jpg", RED), ("a-2.jpg", GREEN), ("A-3.jpg", BLUE)):
        assert_colour(cv2.imread(str(tmp_path / name))[8, 8, ::-1], colour)


def test_arrays_without_a_file_are_named_image(tmp_path):
    write_frames(FolderSink(tmp_path, draw_nothing), [Frame(HALVES, IN_MEMORY), Frame(HALVES, IN_MEMORY)])
    assert files_in(tmp_path) == ["image-2.png", "image.png"]


@pytest.mark.parametrize(
    ("name", "file"), [("rtsp://camera:554/stream 1?a=b", "stream-1-a-b.mp4"), ("screen:2", "screen-2.mp4")]
)
def test_live_inputs_get_names_that_every_file_system_accepts(tmp_path, name, file):
    write_frames(FolderSink(tmp_path, draw_nothing), [video_frame(0, name=name)])
    assert files_in(tmp_path) == [file]


def test_files_of_an_earlier_run_are_replaced(tmp_path):
    for colour in (RED, BLUE):
        write_frames(FolderSink(tmp_path, draw_nothing), [still_frame("a.png", flat(colour))])
    assert files_in(tmp_path) == ["a.png"]
    assert_colour(cv2.imread(str(tmp_path / "a.png"))[8, 8, ::-1], BLUE)


def test_no_sink_overwrites_an_input(tmp_path):
    image = save(tmp_path / "a.png", encode(HALVES))
    other = save(tmp_path / "sub/b.png", encode(HALVES))
    video = write_clip(tmp_path / "v.mp4", [HALVES] * 3)
    before = [path.read_bytes() for path in (image, other, video)]
    (tmp_path / "link").symlink_to(tmp_path)

    for source, sink in [
        (image, FolderSink(tmp_path, draw_nothing)),
        (image, FolderSink(tmp_path / "sub/..", draw_nothing)),
        (image, FolderSink(tmp_path / "link", draw_nothing)),
        (video, FolderSink(tmp_path, draw_nothing)),
        (image, ImageFileSink(image, draw_nothing)),
        (video, VideoFileSink(video, draw_nothing)),
    ]:
        with pytest.raises(OutputError, match="is an input and will not be overwritten"), open_source(source) as frames:
            write_frames(sink, frames)
    with pytest.raises(OutputError, match="is an input"):  # an input that is read later
        write_frames(open_sink(tmp_path / "sub", draw=draw_nothing, inputs=[image, other]), [still_frame("x/b.png")])
    for target in (image, video):
        with pytest.raises(OutputError, match="is an input"):
            open_sink(target, draw=draw_nothing, inputs=[image, video])
    assert [path.read_bytes() for path in (image, other, video)] == before
    assert files_in(tmp_path) == ["a.png", "sub/b.png", "v.mp4"]


def test_hard_link_to_an_input_is_not_overwritten(tmp_path):
    """On file systems that ignore letter case, `CLIP.MP4` and `CLIP.mp4` are one file in the same way."""
    for source in (save(tmp_path / "a.png", encode(HALVES)), write_clip(tmp_path / "v.mp4", [HALVES] * 3)):
        other = tmp_path / f"other{source.suffix}"
        other.hardlink_to(source)
        with pytest.raises(OutputError, match="is an input"):
            open_sink(other, draw=draw_nothing, inputs=[source])
        with pytest.raises(OutputError, match="is an input"), open_source(source) as frames:
            write_frames(open_sink(other, draw=draw_nothing), frames)
        assert other.samefile(source)


def test_exception_keeps_completed_files_and_discards_the_current_one(tmp_path):
    with pytest.raises(ZeroDivisionError), FolderSink(tmp_path, draw_nothing) as sink:
        for index in range(3):
            sink.write(video_frame(index, name="one"), some_persons(0))
        sink.write(still_frame("a.png"), some_persons(0))
        for index in range(3):
            sink.write(video_frame(index, name="two"), some_persons(0))
        raise ZeroDivisionError
    assert files_in(tmp_path) == ["a.png", "one.mp4"]
    assert [path.name for path in sink.written] == ["one.mp4", "a.png"]
    assert len(decode_video(tmp_path / "one.mp4")[0]) == 3
