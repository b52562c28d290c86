"""Unreadable inputs, unusual images and unwritable outputs, from the command line."""

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from helpers.synthetic import TINY_KEYPOINTS, write_image, write_video


def files_in(folder: Path) -> set[str]:
    """The relative paths of all files below a folder, including temporary ones."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def write_truncated_image(path: Path) -> None:
    rng = np.random.default_rng(0)
    _, data = cv2.imencode(".jpg", rng.integers(0, 256, (80, 80, 3), dtype=np.uint8))
    path.write_bytes(data.tobytes()[: len(data) // 2])


def write_truncated_video(path: Path) -> None:
    whole = write_video(path.with_name("whole.mp4"))
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    whole.unlink()


def write_image_without_pixels(path: Path) -> None:
    header = b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + struct.pack("<IiiHHIIiiII", 40, 0, 0, 1, 24, 0, 0, 0, 0, 0, 0)
    path.write_bytes(header)


UNREADABLE: dict[str, tuple[str, Callable[[Path], None]]] = {
    "missing": ("bad.png", lambda path: None),
    "missing video": ("bad.mp4", lambda path: None),
    "empty": ("bad.jpg", Path.touch),
    "empty video": ("bad.mp4", Path.touch),
    "truncated": ("bad.jpg", write_truncated_image),
    "truncated video": ("bad.mp4", write_truncated_video),
    "not an image": ("bad.png", lambda path: path.write_text("These are words.") and None),
    "not a video": ("bad.mp4", lambda path: path.write_text("These are words.") and None),
    "no size": ("bad.bmp", write_image_without_pixels),
    "unknown suffix": ("bad.xyz", lambda path: path.write_text("?") and None),
    "empty folder": ("bad", Path.mkdir),
    "pattern without a match": ("bad*.png", lambda path: None),
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_unreadable_input_is_reported_and_the_others_are_processed(predict, tmp_path: Path, kind: str) -> None:
    name, write = UNREADABLE[kind]
    write(tmp_path / name)
    write_image(tmp_path / "first.png")
    write_image(tmp_path / "last.png")
    done = predict("first.png", name, "last.png", "-o", "drawn", "-o", "poses.jsonl")
    assert done.code == 1
    assert len(done.errors) == 1, done.err
    assert "bad" in done.errors[0]
    assert len(done.hints) == 1, done.err
    assert files_in(tmp_path / "drawn") == {"first.png", "last.png"}
    assert len((tmp_path / "poses.jsonl").read_text().splitlines()) == 2


@pytest.mark.parametrize("kind", UNREADABLE)
def test_nothing_is_written_if_no_input_can_be_read(predict, tmp_path: Path, kind: str) -> None:
    name, write = UNREADABLE[kind]
    write(tmp_path / name)
    before = files_in(tmp_path)
    done = predict(name, "-o", "drawn", "-o", "poses.json", "-o", "poses.csv")
    assert done.code == 1
    assert len(done.errors) == len(done.hints) == 1, done.err
    assert files_in(tmp_path) == before


def write_grey(path: Path) -> None:
    cv2.imwrite(str(path), np.full((40, 60), 255, np.uint8))


def write_16_bit_grey(path: Path) -> None:
    cv2.imwrite(str(path), np.full((40, 60), 65535, np.uint16))


def write_16_bit_colour(path: Path) -> None:
    cv2.imwrite(str(path), np.full((40, 60, 3), 65535, np.uint16))


def write_alpha(path: Path) -> None:
    cv2.imwrite(str(path), np.full((40, 60, 4), 255, np.uint8))


def write_16_bit_alpha(path: Path) -> None:
    cv2.imwrite(str(path), np.full((40, 60, 4), 65535, np.uint16))


@pytest.mark.parametrize("write", [write_grey, write_16_bit_grey, write_16_bit_colour, write_alpha, write_16_bit_alpha])
def test_grey_16_bit_and_alpha_are_read_as_rgb(predict, tmp_path: Path, write: Callable[[Path], None]) -> None:
    write(tmp_path / "odd.png")
    done = predict("odd.png", "-o", "poses.jsonl", "-o", "drawn")
    assert done.code == 0, done.err
    person = json.loads((tmp_path / "poses.jsonl").read_text())["persons"][0]
    assert person["score"] == pytest.approx(1, abs=0.01)  # resampling darkens the border a little
    assert cv2.imread(str(tmp_path / "drawn" / "odd.png"), cv2.IMREAD_UNCHANGED).shape == (40, 60, 3)


def test_cmyk_is_read_as_rgb(predict, tmp_path: Path) -> None:
    """The image has 8 x 8 white pixels; Adobe's inverted CMYK stores white as 255 in all four channels."""
    quantisation = b"\xff\xdb" + struct.pack(">HB", 67, 0) + b"\x08" + b"\x01" * 63
    adobe = b"\xff\xee" + struct.pack(">H5sHHHB", 14, b"Adobe", 100, 0, 0, 0)
    frame = b"\xff\xc0" + struct.pack(">HBHHB", 20, 8, 8, 8, 4) + b"".join(bytes((i, 0x11, 0)) for i in range(1, 5))
    dc_code, ac_code = (
        b"\xff\xc4" + struct.pack(">HB", 20, kind) + b"\x01" + b"\x00" * 15 + bytes((symbol,))
        for kind, symbol in ((0x00, 7), (0x10, 0))
    )
    scan = b"\xff\xda" + struct.pack(">HB", 14, 4) + b"".join(bytes((i, 0)) for i in range(1, 5)) + b"\x00\x3f\x00"
    four_whites = bytes((0x7F, 0x3F, 0x9F, 0xCF, 0xEF))  # per channel: code 0, value 1111111 (127), code 0 for the end
    parts = (b"\xff\xd8", adobe, quantisation, frame, dc_code, ac_code, scan, four_whites, b"\xff\xd9")
    (tmp_path / "ink.jpg").write_bytes(b"".join(parts))
    done = predict("ink.jpg", "-o", "poses.jsonl")
    assert done.code == 0, done.err
    assert json.loads((tmp_path / "poses.jsonl").read_text())["persons"][0]["score"] == pytest.approx(1, abs=0.05)


def test_exif_orientation_is_applied(predict, tmp_path: Path) -> None:
    _, data = cv2.imencode(".jpg", np.full((40, 60, 3), 255, np.uint8))
    entry = struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0)  # orientation 6: rotate clockwise by 90 degrees
    exif = b"Exif\0\0" + b"II*\0" + struct.pack("<IH", 8, 1) + entry + struct.pack("<I", 0)
    segment = b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
    (tmp_path / "turned.jpg").write_bytes(data.tobytes()[:2] + segment + data.tobytes()[2:])
    done = predict("turned.jpg", "-o", "poses.jsonl", "-o", "drawn")
    assert done.code == 0, done.err
    nose = json.loads((tmp_path / "poses.jsonl").read_text())["persons"][0]["keypoints"]["nose"][:2]
    np.testing.assert_allclose(nose, TINY_KEYPOINTS[0] * [40, 60], atol=0.01)
    assert cv2.imread(str(tmp_path / "drawn" / "turned.jpg")).shape == (60, 40, 3)


def test_image_20000_pixels_wide_is_processed(predict, tmp_path: Path) -> None:
    write_image(tmp_path / "wide.png", (50, 20_000))
    done = predict("wide.png")
    assert done.code == 0, done.err
    assert cv2.imread(str(tmp_path / "out" / "wide.png")).shape == (50, 20_000, 3)


def test_duplicate_inputs_are_read_once(predict, tmp_path: Path) -> None:
    write_image(tmp_path / "white.png")
    done = predict("white.png", "*.png", tmp_path / "white.png", "-o", "drawn", "-o", "poses.jsonl")
    assert done.code == 0, done.err
    assert len((tmp_path / "poses.jsonl").read_text().splitlines()) == 1
    assert files_in(tmp_path / "drawn") == {"white.png"}


def test_inputs_with_the_same_name_do_not_overwrite_each_other(predict, tmp_path: Path) -> None:
    write_image(tmp_path / "a" / "white.png", (40, 60))
    write_image(tmp_path / "b" / "white.png", (50, 70))
    done = predict("a", "b", "-o", "drawn")
    assert done.code == 0, done.err
    drawn = [cv2.imread(str(path)).shape[:2] for path in (tmp_path / "drawn").rglob("*.png")]
    assert sorted(drawn) == [(40, 60), (50, 70)]


UNWRITABLE = ["file.txt/drawn", "file.txt/poses.json", "poses.xyz", "file.txt"]


@pytest.mark.parametrize("target", UNWRITABLE)
def test_unwritable_output_is_reported_before_processing(predict, tmp_path: Path, target: str) -> None:
    write_image(tmp_path / "white.png")
    (tmp_path / "file.txt").write_text("mine")
    before = files_in(tmp_path)
    done = predict("white.png", "-o", "poses.jsonl", "-o", target)
    assert done.code in (1, 2)
    assert len(done.errors) == len(done.hints) == 1, done.err
    assert target.partition("/")[0] in done.errors[0]
    assert files_in(tmp_path) == before
    assert (tmp_path / "file.txt").read_text() == "mine"


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="the superuser may write everywhere")
def test_read_only_folder_is_reported(predict, tmp_path: Path) -> None:
    write_image(tmp_path / "white.png")
    (tmp_path / "locked").mkdir(mode=0o500)
    done = predict("white.png", "-o", "locked/drawn")
    assert done.code == 1
    assert len(done.errors) == len(done.hints) == 1


def test_an_input_is_never_overwritten(predict, tmp_path: Path) -> None:
    image = write_image(tmp_path / "in" / "white.png")
    before = image.read_bytes()
    predict("in", "-o", "in")
    predict("in/white.png", "-o", "in/white.png")
    assert image.read_bytes() == before


@pytest.mark.parametrize("model", ["nosuch", "missing.onnx", "words.onnx"])
def test_unknown_or_damaged_model_is_reported(e2pose, tmp_path: Path, model: str) -> None:
    write_image(tmp_path / "white.png")
    (tmp_path / "words.onnx").write_text("These are words.")
    done = e2pose("predict", "white.png", "--model", model)
    assert done.code == 1
    assert len(done.errors) == 1, done.err
    assert model in done.errors[0]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("option", ["--threshold", "--keypoint-threshold"])
@pytest.mark.parametrize("value", ["1.5", "-0.1", "nan"])
def test_threshold_out_of_range_is_reported(predict, tmp_path: Path, option: str, value: str) -> None:
    write_image(tmp_path / "white.png")
    done = predict("white.png", option, value)
    assert done.code == 2
    assert len(done.errors) == 1, done.err
    assert value in done.errors[0]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "suggestion"),
    [
        (["predcit", "a.png"], '"predict"'),
        (["predict", "a.png", "--thresold", "0.5"], "--threshold"),
        (["predict", "a.png", "--blur", "head"], "use one of: heads, bodies, frame"),
        (["predict", "a.png", "--blur", "faces"], "use one of: heads, bodies, frame"),
        (["predict", "-"], "save the data to a file first"),
        (["predict", "-", "--track"], "save the data to a file first"),
        (["a.png", "-o", "b c.png"], "did you mean: e2pose predict a.png -o 'b c.png'"),
        (["photos/", "--track"], "did you mean: e2pose predict photos/ --track"),
        (["*.png"], "did you mean: e2pose predict '*.png'"),
        (["0"], "did you mean: e2pose predict 0"),
        (["rtsp://camera/1"], "did you mean: e2pose predict rtsp://camera/1"),
        (["predict"], "--help"),
        (["predict", "a.png", "--threads", "many"], "--help"),
    ],
)
def test_misspelt_option_is_answered_with_a_suggestion(
    e2pose, tmp_path: Path, words: list[str], suggestion: str
) -> None:
    done = e2pose(*words)
    assert done.code == 2
    assert done.out == ""
    assert len(done.errors) == 1, done.err
    assert suggestion in done.hints[0]


def test_ctrl_c_before_the_first_frame_leaves_no_output(
    predict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    write_image(tmp_path / "white.png")
    monkeypatch.setattr("e2pose.live.pipeline.run", interrupt)
    done = predict("white.png", "-o", "drawn", "-o", "poses.json")
    assert done.code == 130
    assert [line for line in done.err.splitlines() if not line.startswith("model: ")] == []
    assert files_in(tmp_path) == {"white.png"}
