"""Pictures and videos as they are written: looked at by decoding them again."""

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from e2pose.core.errors import OptionError, OutputError
from e2pose.core.frame import IN_MEMORY, Frame, Origin
from e2pose.core.poses import Poses
from e2pose.core.schema import load_schema
from e2pose.sinks.folder import FolderSink
from e2pose.sinks.images import ImageFileSink
from e2pose.sinks.open import open_sink
from e2pose.sinks.video import VideoFileSink
from e2pose.sources.open import open_source
from helpers.media import BLUE, GREEN, RED, audio_packets, decode_audio, decode_video, encode, flat, save, write_clip

NOBODY = Poses.empty(load_schema("coco"))
HALVES = np.concatenate([flat(RED, (48, 32)), flat(BLUE, (48, 32))], axis=1)
NTSC = Fraction(30_000, 1001)


def show(frame, poses):
    return frame.image


def negative(frame, poses):
    return 255 - frame.image


def still(name, image=HALVES):
    return Frame(image, Origin(str(name), Path(name)))


def moving(index, name="clip", rate=Fraction(25), image=HALVES, time_s=None):
    return Frame(image, Origin(name, None, rate), index, index / float(rate) if time_s is None else time_s)


def write_all(sink, frames):
    with sink:
        for frame in frames:
            sink.write(frame, NOBODY)


def convert(source, target):
    with open_source(source) as frames:
        write_all(open_sink(target, draw=show), frames)
    return target


def assert_colour(pixel, rgb, tolerance=6):
    assert np.abs(pixel.astype(int) - rgb).max() <= tolerance, pixel


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


# One picture.


@pytest.mark.parametrize("suffix", [".jpg", ".JPG", ".png", ".webp", ".bmp", ".tif"])
def test_a_picture_is_written_as_drawn(tmp_path, suffix):
    path = tmp_path / "näw folder" / f"ünï çödé{suffix}"
    write_all(ImageFileSink(path, negative), [still("a.png")])
    written = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert written.shape == HALVES.shape
    assert_colour(written[24, 8], 255 - np.array(RED))
    assert_colour(written[24, 56], 255 - np.array(BLUE))


def test_a_second_picture_wants_a_folder(tmp_path):
    with pytest.raises(OutputError, match=r"can hold one picture, but 'b\.png'") as caught:
        write_all(ImageFileSink(tmp_path / "out.png", show), [still("a.png"), still("b.png")])
    assert f"{tmp_path / 'out'}/" in caught.value.hint
    assert files(tmp_path) == ["out.png"]  # the first one


def test_a_picture_too_wide_for_its_format(tmp_path):
    with pytest.raises(OutputError, match=r"20000 x 2 pixels cannot be written as 'a\.webp'"):
        write_all(ImageFileSink(tmp_path / "a.webp", show), [still("a.png", flat(RED, (2, 20_000)))])
    assert files(tmp_path) == []


@pytest.mark.parametrize("sink", [ImageFileSink, VideoFileSink])
def test_a_suffix_that_cannot_be_written(tmp_path, sink):
    with pytest.raises(OutputError, match="does not end like") as caught:
        sink(tmp_path / "a.xyz", show)
    assert ".mp4" in caught.value.hint or ".png" in caught.value.hint


# One video.


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("rate", [Fraction(25), NTSC, Fraction(24_000, 1001), Fraction(100, 3)])
def test_a_video_keeps_count_times_rate_and_colours(tmp_path, suffix, rate):
    path = tmp_path / f"ünï çödé a:b{suffix}"
    write_all(VideoFileSink(path, negative), [moving(index, rate=rate) for index in range(12)])
    images, times_s, average_rate, (codec, pixels, colours) = decode_video(path)
    assert len(images) == 12
    assert times_s == pytest.approx([index / rate for index in range(12)], abs=6e-4 if suffix == ".mkv" else 1e-6)
    assert average_rate == rate or suffix == ".mkv"
    assert (codec, pixels) == ("h264", "yuv420p")
    assert colours == (1, 1, 1, 1)  # BT.709, limited range
    assert_colour(images[5][24, 8], 255 - np.array(RED))
    assert_colour(images[5][24, 56], 255 - np.array(BLUE))


@pytest.mark.parametrize("colour", [RED, GREEN, BLUE, (255, 255, 255), (0, 0, 0), (128, 128, 128)])
def test_pure_colours_come_back_within_a_few_levels(tmp_path, colour):
    write_all(VideoFileSink(tmp_path / "a.mp4", show), [moving(0, image=flat(colour, (48, 64)))])
    assert_colour(decode_video(tmp_path / "a.mp4")[0][0][24, 32], colour, 5)


def test_the_index_comes_first_so_that_a_browser_starts_at_once(tmp_path):
    write_all(VideoFileSink(tmp_path / "a.mp4", show), [moving(index) for index in range(9)])
    data = (tmp_path / "a.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_irregular_times_are_kept(tmp_path):
    times_s = [0.0, 0.1003, 0.1517, 0.5, 1.25]
    frames = [moving(index, time_s=time_s) for index, time_s in enumerate(times_s)]
    write_all(VideoFileSink(tmp_path / "a.mp4", show), frames)
    assert decode_video(tmp_path / "a.mp4")[1] == pytest.approx(times_s, abs=2e-5)


def test_times_that_matroska_has_rounded_become_steady_again(tmp_path):
    source = write_clip(tmp_path / "a.mkv", [HALVES] * 12, rate=NTSC)
    _, times_s, rate, _ = decode_video(convert(source, tmp_path / "b.mp4"))
    assert rate == NTSC
    assert times_s == pytest.approx([index / NTSC for index in range(12)], abs=1e-6)


def test_repeated_and_backward_times_do_not_stop_a_video(tmp_path):
    frames = [moving(index, time_s=time_s) for index, time_s in enumerate([0.0, 0.04, 0.04, 0.03, 0.2])]
    write_all(VideoFileSink(tmp_path / "a.mp4", show), frames)
    times_s = decode_video(tmp_path / "a.mp4")[1]
    assert len(times_s) == 5
    assert times_s == sorted(set(times_s))


@pytest.mark.parametrize(("size_hw", "even_hw"), [((47, 63), (48, 64)), ((48, 63), (48, 64)), ((1, 1), (2, 2))])
def test_odd_sides_grow_by_a_copy_of_the_last_pixels(tmp_path, size_hw, even_hw):
    write_all(VideoFileSink(tmp_path / "a.mp4", show), [moving(0, image=flat(GREEN, size_hw))])
    image = decode_video(tmp_path / "a.mp4")[0][0]
    assert image.shape[:2] == even_hw
    assert_colour(image[-1, -1], GREEN)


@pytest.mark.parametrize("sound", ["aac", "libmp3lame", "libopus", "flac"])
def test_sound_is_copied_bit_by_bit(tmp_path, sound):
    source = write_clip(tmp_path / "a.mkv", [HALVES] * 25, sound=sound)
    target = convert(source, tmp_path / "b.mp4")
    assert decode_audio(target)[0] == decode_audio(source)[0]
    assert decode_audio(target)[1] == pytest.approx(1.0, abs=0.06)
    assert audio_packets(target) == audio_packets(source)
    assert len(decode_video(target)[0]) == 25


def test_sound_that_mp4_cannot_hold_becomes_aac(tmp_path):
    source = write_clip(tmp_path / "a.avi", [HALVES] * 25, codec="mpeg4", sound="pcm_s16le")
    assert decode_audio(source)[0] == "pcm_s16le"
    codec, seconds = decode_audio(convert(source, tmp_path / "b.mp4"))
    assert codec == "aac"
    assert seconds == pytest.approx(1.0, abs=0.05)
    assert decode_audio(convert(source, tmp_path / "b.mkv"))[0] == "pcm_s16le"


def test_mp3_of_a_rate_that_mp4_cannot_name_becomes_aac(tmp_path):
    source = write_clip(tmp_path / "a.mkv", [HALVES] * 25, sound="libmp3lame", sound_rate=11_025)
    assert decode_audio(source)[0] == "mp3"
    assert decode_audio(convert(source, tmp_path / "b.mp4"))[0] == "aac"


def test_a_truncated_video_is_written_as_far_as_it_goes(tmp_path):
    source = write_clip(tmp_path / "a.mp4", [HALVES] * 75, sound="aac", sound_s=3.0, movflags="+faststart")
    cut = save(tmp_path / "cut.mp4", source.read_bytes()[: int(0.6 * source.stat().st_size)])
    errors = []
    with open_source(cut, on_error=errors.append) as frames:
        write_all(open_sink(tmp_path / "b.mp4", draw=show), frames)
    assert len(errors) == 1
    assert 10 < len(decode_video(tmp_path / "b.mp4")[0]) < 75
    assert decode_audio(tmp_path / "b.mp4")[1] > 0.5


def test_sound_from_a_transport_stream_stays_with_its_pictures(tmp_path):
    source = write_clip(tmp_path / "a.m2ts", [HALVES] * 25, sound="aac")  # its clock does not start at 0
    target = convert(source, tmp_path / "b.mp4")
    with av.open(str(target)) as container:
        starts_s = [float(stream.start_time * stream.time_base) for stream in container.streams]
    assert starts_s == pytest.approx([0, 0], abs=0.05)
    assert decode_audio(target)[1] == pytest.approx(1.0, abs=0.06)


def test_joined_recordings_do_not_stop_a_video(tmp_path):
    once = write_clip(tmp_path / "a.mts", [HALVES] * 25, sound="aac").read_bytes()
    errors = []
    with open_source(save(tmp_path / "joined.mts", once + once), on_error=errors.append) as frames:
        write_all(open_sink(tmp_path / "b.mp4", draw=show), frames)
    assert len(decode_video(tmp_path / "b.mp4")[0]) > 40
    assert decode_audio(tmp_path / "b.mp4")[1] >= 0.9


def test_sound_lies_beside_the_pictures(tmp_path):
    source = write_clip(tmp_path / "a.mp4", [HALVES] * 75, sound="aac", sound_s=3.0)
    with av.open(str(convert(source, tmp_path / "b.mp4"))) as container:
        order = "".join(packet.stream.type[0] for packet in container.demux() if packet.size)
    assert "v" * 50 not in order
    assert "a" * 100 not in order


def test_a_silent_video_stays_silent(tmp_path):
    source = write_clip(tmp_path / "a.mp4", [HALVES] * 3)
    assert decode_audio(convert(source, tmp_path / "b.mp4")) is None


def test_a_still_picture_and_a_second_video_are_refused(tmp_path):
    with pytest.raises(OutputError, match=r"'a\.png' is a still picture"):
        write_all(VideoFileSink(tmp_path / "a.mp4", show), [still("a.png")])
    with pytest.raises(OutputError, match="can hold one video, but 'b' is another input"):
        write_all(VideoFileSink(tmp_path / "a.mp4", show), [moving(0, "a"), moving(0, "b")])
    assert len(decode_video(tmp_path / "a.mp4")[0]) == 1


def test_a_build_without_an_encoder_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(av, "codecs_available", {"mpeg4"})
    with pytest.raises(OutputError, match=r"cannot write H\.264") as caught:
        VideoFileSink(tmp_path / "a.mp4", show)
    assert "pip install" in caught.value.hint


# A folder.


def test_a_folder_holds_pictures_and_videos_under_their_names(tmp_path):
    save(tmp_path / "in/a.jpg", encode(HALVES, ".jpg"))
    save(tmp_path / "in/B.PNG", encode(HALVES))
    save(tmp_path / "in/c.jp2", encode(HALVES, ".jp2"))
    write_clip(tmp_path / "in/d.mkv", [HALVES] * 5)
    write_clip(tmp_path / "in/e.mov", [HALVES] * 3)
    out = tmp_path / "out"
    with open_source(tmp_path / "in") as frames, FolderSink(out, show) as sink:
        for frame in frames:
            sink.write(frame, NOBODY)
            if frame.origin.name.endswith("e.mov"):
                assert (out / "d.mp4").exists()  # finished when the next one came
    assert files(out) == ["B.PNG", "a.jpg", "c.png", "d.mp4", "e.mp4"]
    assert [path.name for path in sink.written] == ["a.jpg", "B.PNG", "c.png", "d.mp4", "e.mp4"]
    assert len(decode_video(out / "d.mp4")[0]) == 5
    assert len(decode_video(out / "e.mp4")[0]) == 3


def test_inputs_with_the_same_name_are_numbered(tmp_path):
    frames = [still("x/a.jpg", flat(RED)), still("y/a.jpg", flat(GREEN)), still("z/A.jpg", flat(BLUE))]
    write_all(FolderSink(tmp_path, show), [*frames, moving(0, "v/a.mov"), moving(0, "w/a.avi")])
    assert files(tmp_path) == ["A-3.jpg", "a-2.jpg", "a-2.mp4", "a.jpg", "a.mp4"]
    for name, colour in (("a.jpg", RED), ("a-2.jpg", GREEN), ("A-3.jpg", BLUE)):
        assert_colour(cv2.imread(str(tmp_path / name))[8, 8, ::-1], colour)


def test_arrays_without_a_file_get_names(tmp_path):
    write_all(FolderSink(tmp_path, show), [Frame(HALVES, IN_MEMORY), Frame(HALVES, IN_MEMORY)])
    assert files(tmp_path) == ["image-2.png", "image.png"]


def test_files_of_an_earlier_run_are_replaced(tmp_path):
    for colour in (RED, BLUE):
        write_all(FolderSink(tmp_path, show), [still("a.png", flat(colour))])
    assert files(tmp_path) == ["a.png"]
    assert_colour(cv2.imread(str(tmp_path / "a.png"))[8, 8, ::-1], BLUE)


def test_no_input_is_overwritten(tmp_path):
    picture = save(tmp_path / "a.png", encode(HALVES))
    other = save(tmp_path / "sub/b.png", encode(HALVES))
    video = write_clip(tmp_path / "v.mp4", [HALVES] * 3)
    before = [path.read_bytes() for path in (picture, other, video)]
    (tmp_path / "link").symlink_to(tmp_path)

    for source, sink in [
        (picture, FolderSink(tmp_path, show)),
        (picture, FolderSink(tmp_path / "sub/..", show)),
        (picture, FolderSink(tmp_path / "link", show)),
        (video, FolderSink(tmp_path, show)),
        (picture, ImageFileSink(picture, show)),
        (video, VideoFileSink(video, show)),
    ]:
        with pytest.raises(OutputError, match="is an input and will not be overwritten"), open_source(source) as frames:
            write_all(sink, frames)
    with pytest.raises(OutputError, match="is an input"):  # of a later turn
        write_all(open_sink(tmp_path / "sub", draw=show, inputs=[picture, other]), [still("x/b.png")])
    for target in (picture, video):
        with pytest.raises(OutputError, match="is an input"):
            open_sink(target, draw=show, inputs=[picture, video])
    assert [path.read_bytes() for path in (picture, other, video)] == before
    assert files(tmp_path) == ["a.png", "sub/b.png", "v.mp4"]


def test_an_input_is_known_by_its_other_names(tmp_path):
    """As `CLIP.MP4` and `CLIP.mp4` are one file where case does not matter."""
    for source in (save(tmp_path / "a.png", encode(HALVES)), write_clip(tmp_path / "v.mp4", [HALVES] * 3)):
        other = tmp_path / f"other{source.suffix}"
        other.hardlink_to(source)
        with pytest.raises(OutputError, match="is an input"):
            open_sink(other, draw=show, inputs=[source])
        with pytest.raises(OutputError, match="is an input"), open_source(source) as frames:
            write_all(open_sink(other, draw=show), frames)
        assert other.samefile(source)


def test_an_error_in_the_middle_leaves_only_finished_files(tmp_path):
    with pytest.raises(ZeroDivisionError), FolderSink(tmp_path, show) as sink:
        for index in range(3):
            sink.write(moving(index, "one"), NOBODY)
        sink.write(still("a.png"), NOBODY)
        for index in range(3):
            sink.write(moving(index, "two"), NOBODY)
        raise ZeroDivisionError
    assert files(tmp_path) == ["a.png", "one.mp4"]
    assert [path.name for path in sink.written] == ["one.mp4", "a.png"]
    assert len(decode_video(tmp_path / "one.mp4")[0]) == 3


# The choice.


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        ("out", "FolderSink"),
        ("out/", "FolderSink"),
        ("v1.2/", "FolderSink"),
        ("is.folder", "FolderSink"),
        ("new/deep/a.jpg", "ImageFileSink"),
        ("a.TIFF", "ImageFileSink"),
        ("a.mp4", "VideoFileSink"),
        ("a.mkv", "VideoFileSink"),
        ("a.json", "CocoJsonSink"),
        ("a.jsonl", "JsonlSink"),
        ("a.csv", "CsvSink"),
    ],
)
def test_the_suffix_chooses(tmp_path, monkeypatch, target, kind):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "is.folder").mkdir()
    assert type(open_sink(target, draw=show)).__name__ == kind
    assert files(tmp_path) == []  # nothing is written by choosing


def test_an_unknown_suffix_lists_the_known_ones(tmp_path):
    with pytest.raises(OptionError, match=r"'\.xyz' is no kind of output") as caught:
        open_sink(tmp_path / "a.xyz", draw=show)
    assert all(suffix in caught.value.hint for suffix in (".jpg", ".mp4", ".json", ".jsonl", ".csv"))


@pytest.mark.parametrize("target", ["x" * 300 + ".json", "~nobody-of-this-name/out.png"])
def test_a_path_that_makes_no_sense(tmp_path, monkeypatch, target):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OutputError, match="cannot write") as caught:
        open_sink(target, draw=show)
    assert caught.value.hint


def test_an_output_without_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OptionError, match="the text is empty"):
        open_sink("", draw=show)


@pytest.mark.parametrize("target", ["file/out.png", "file/deeper/out.mp4", "file/out.json", "file/out", "file/"])
def test_a_folder_that_cannot_be_written_is_found_at_once(tmp_path, target):
    save(tmp_path / "file", b"")
    with pytest.raises(OutputError, match="is a file"):
        open_sink(f"{tmp_path}/{target}", draw=show)


def test_a_folder_without_permission(tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(OutputError, match="no permission"):
        open_sink(tmp_path / "a.png", draw=show)
