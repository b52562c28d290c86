import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from helpers.synthetic import TINY_KEYPOINTS, read_video, write_image, write_video


def files_in(folder: Path) -> set[str]:
    """All files below a folder, including leftover temporary files."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_overlay_of_an_image_goes_to_out(predict, tmp_path: Path) -> None:
    image = write_image(tmp_path / "in" / "white.png")
    done = predict(image)
    assert done.code == 0
    assert files_in(tmp_path / "out") == {"white.png"}
    drawn = cv2.imread(str(tmp_path / "out" / "white.png"))
    assert drawn.shape == (40, 60, 3)
    assert (drawn != 255).any()
    assert done.out == ""
    model, summary = done.err.splitlines()
    assert model.startswith("model: tiny, onnxruntime ")
    assert summary.startswith("1 image, 1 person, ")
    assert summary.endswith("written to out/")


def test_image_without_persons_gives_empty_results(predict, tmp_path: Path) -> None:
    image = write_image(tmp_path / "in" / "black.png", brightness=0)
    done = predict(image, "-o", "drawn", "-o", "poses.json", "-o", "poses.jsonl", "-o", "poses.csv")
    assert done.code == 0
    assert "1 image, 0 persons" in done.err
    assert (cv2.imread(str(tmp_path / "drawn" / "black.png")) == 0).all()
    assert json.loads((tmp_path / "poses.json").read_text()) == []
    assert json.loads((tmp_path / "poses.jsonl").read_text())["persons"] == []
    assert len((tmp_path / "poses.csv").read_text().splitlines()) == 1


def test_all_outputs_hold_the_same_poses(predict, tmp_path: Path) -> None:
    write_image(tmp_path / "in" / "000000000139.png", (100, 200))
    write_image(tmp_path / "in" / "b.jpg", (40, 60))
    done = predict("in/", "-o", "poses.json", "-o", "deep/er/poses.jsonl", "-o", "poses.csv", "-o", "drawn")
    assert done.code == 0
    results = json.loads((tmp_path / "poses.json").read_text())
    lines = [json.loads(line) for line in (tmp_path / "deep/er/poses.jsonl").read_text().splitlines()]
    rows = list(csv.DictReader((tmp_path / "poses.csv").read_text().splitlines()))
    expected = TINY_KEYPOINTS * [200, 100]
    assert [entry["image_id"] for entry in results] == [139, 1]
    np.testing.assert_allclose(np.reshape(results[0]["keypoints"], (17, 3))[:, :2], expected - 0.5, atol=0.01)
    np.testing.assert_allclose(
        [point[:2] for point in lines[0]["persons"][0]["keypoints"].values()], expected, atol=0.01
    )
    np.testing.assert_allclose([float(rows[0]["nose_x"]), float(rows[0]["nose_y"])], expected[0], atol=0.01)
    assert files_in(tmp_path / "drawn") == {"000000000139.png", "b.jpg"}
    assert "written to poses.json, deep/er/poses.jsonl, poses.csv, drawn" in done.err


def test_patterns_folders_and_files_can_be_mixed(predict, tmp_path: Path) -> None:
    for name in ("a/1.png", "a/2.png", "b/3.jpg", "b/nested/ignored.txt", "c.bmp"):
        if name.endswith("txt"):
            (tmp_path / name).parent.mkdir(parents=True)
            (tmp_path / name).write_text("not an image")
        else:
            write_image(tmp_path / name)
    done = predict("a/*.png", "b", "c.bmp", "-o", "poses.jsonl")
    assert done.code == 0, done.err
    lines = (tmp_path / "poses.jsonl").read_text().splitlines()
    assert [Path(json.loads(line)["file"]).name for line in lines] == ["1.png", "2.png", "3.jpg", "c.bmp"]


def test_video_keeps_its_frames_and_rate(predict, tmp_path: Path) -> None:
    write_video(tmp_path / "in" / "run.mp4", frames=6, rate=12)
    done = predict("in/run.mp4", "-o", "drawn.mp4", "-o", "poses.jsonl")
    assert done.code == 0, done.err
    drawn = read_video(tmp_path / "drawn.mp4")
    assert len(drawn) == 6
    assert drawn[0].shape == (48, 64, 3)
    assert any((frame < 200).any() for frame in drawn)
    lines = [json.loads(line) for line in (tmp_path / "poses.jsonl").read_text().splitlines()]
    assert [line["frame"] for line in lines] == list(range(6))
    np.testing.assert_allclose([line["time_s"] for line in lines], np.arange(6) / 12, atol=1e-3)


def test_images_and_videos_can_be_mixed(predict, tmp_path: Path) -> None:
    write_video(tmp_path / "in" / "run.mp4")
    write_image(tmp_path / "in" / "white.png")
    done = predict("in")
    assert done.code == 0, done.err
    assert files_in(tmp_path / "out") == {"run.mp4", "white.png"}
    assert "7 images, 7 persons" in done.err


def test_file_names_may_have_spaces_and_any_alphabet(predict, tmp_path: Path) -> None:
    for name in ("two words.png", "ひと.png", "Übung 1.jpg"):
        write_image(tmp_path / "in" / name)
    write_video(tmp_path / "in" / "日本 語.mp4")
    done = predict("in", "-o", "ausgabe ü", "-o", "ergebnis ü.json")
    assert done.code == 0, done.err
    assert files_in(tmp_path / "ausgabe ü") == {"two words.png", "ひと.png", "Übung 1.jpg", "日本 語.mp4"}
    names = {entry["file_name"] for entry in json.loads((tmp_path / "ergebnis ü.json").read_text(encoding="utf-8"))}
    assert names == {"two words.png", "ひと.png", "Übung 1.jpg", "日本 語.mp4"}


def test_threshold_drops_persons_with_lower_scores(predict, tmp_path: Path) -> None:
    image = write_image(tmp_path / "in" / "grey.png", brightness=178)
    assert "1 person," in predict(image).err
    assert "0 persons," in predict(image, "--threshold", "0.8").err


def test_keypoint_threshold_hides_keypoints_with_lower_scores(predict, tmp_path: Path) -> None:
    image = write_image(tmp_path / "in" / "white.png")
    predict(image, "--keypoint-threshold", "0.95")
    assert (cv2.imread(str(tmp_path / "out" / "white.png")) == 255).all()


def test_blur_frame_removes_details(predict, tmp_path: Path) -> None:
    checkers = np.kron(np.indices((20, 30)).sum(axis=0) % 2, np.ones((4, 4)))[..., None] * [255, 255, 255]
    (tmp_path / "in").mkdir()
    cv2.imwrite(str(tmp_path / "in" / "c.png"), checkers.astype(np.uint8))
    predict("in", "--threshold", "0.1", "--keypoint-threshold", "1", "--blur", "frame")
    drawn = cv2.imread(str(tmp_path / "out" / "c.png"))
    assert drawn.std() < checkers.std() / 2


def test_fps_draws_the_rate(predict, tmp_path: Path) -> None:
    image = write_image(tmp_path / "in" / "black.png", (120, 200), brightness=0)
    predict(image, "--fps")
    assert (cv2.imread(str(tmp_path / "out" / "black.png")) > 0).any()


def test_quiet_prints_nothing(predict, tmp_path: Path) -> None:
    done = predict(write_image(tmp_path / "in" / "white.png"), "--quiet")
    assert (done.code, done.out, done.err) == (0, "", "")


def test_inputs_are_not_modified(predict, tmp_path: Path) -> None:
    image = write_image(tmp_path / "in" / "white.png")
    before = image.read_bytes()
    predict(image, "-o", "drawn", "--blur", "frame")
    assert image.read_bytes() == before


def test_module_can_be_run_like_the_command(tiny_model: Path, tmp_path: Path) -> None:
    write_image(tmp_path / "white.png")
    done = subprocess.run(
        [sys.executable, "-m", "e2pose", "predict", "white.png", "--model", str(tiny_model)],
        cwd=tmp_path, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONWARNINGS": "error"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "white.png").is_file()


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.bmp"])
def test_output_may_be_an_image_file(predict, tmp_path: Path, name: str) -> None:
    image = write_image(tmp_path / "in" / "white.png")
    done = predict(image, "-o", name)
    assert done.code == 0, done.err
    assert cv2.imread(str(tmp_path / name)).shape == (40, 60, 3)
