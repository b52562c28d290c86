"""`--show` from the command line, with a fake screen."""

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

from e2pose.core.schema import KeypointSchema
from e2pose.core.spec import METADATA_KEY, ModelSpec
from helpers.fake_tk import FakeTk
from helpers.media import decode_video, write_clip
from helpers.synthetic import read_video, write_image, write_video

CHECKERS = np.kron(np.indices((80, 80)).sum(axis=0) % 2, np.ones((4, 4)))[..., None].repeat(3, 2).astype(np.uint8) * 255


@pytest.fixture
def screen(monkeypatch) -> FakeTk:
    fake = FakeTk()
    monkeypatch.setitem(sys.modules, "tkinter", fake)
    return fake


@pytest.fixture
def other_model(tiny_model: Path, tmp_path: Path) -> Path:
    """The tiny model with another keypoint schema."""
    model = onnx.load(tiny_model)
    schema = KeypointSchema.from_names("dots", [f"dot_{index}" for index in range(17)], edges=[["dot_0", "dot_9"]])
    spec = ModelSpec("other", (64, 64), "stretch", schema, threshold=0.3)
    next(entry for entry in model.metadata_props if entry.key == METADATA_KEY).value = spec.to_json()
    onnx.save(model, tmp_path / "other.onnx")
    return tmp_path / "other.onnx"


def test_show_without_output_writes_no_file(predict, screen: FakeTk, tmp_path: Path) -> None:
    write_video(tmp_path / "run.mp4", frames=6)
    done = predict("run.mp4", "--show")
    assert done.code == 0, done.err
    assert [image.shape for image in screen.shown] == [(48, 64, 3)] * 6
    assert [path.name for path in tmp_path.iterdir()] == ["run.mp4"]


def test_single_image_stays_until_the_window_is_closed(predict, screen: FakeTk, tmp_path: Path) -> None:
    updates = []

    def quit_after_ten_updates() -> None:
        updates.append(None)
        if len(updates) == 10:
            screen.press("q")

    screen.on_update = quit_after_ten_updates
    done = predict(write_image(tmp_path / "white.png"), "--show")
    assert done.code == 0, done.err
    assert len(updates) >= 10


def test_keys_never_remove_the_blur_of_the_command_line(predict, screen: FakeTk, tmp_path: Path) -> None:
    write_clip(tmp_path / "run.mp4", [CHECKERS] * 12)
    keys = ["b", "b", "p", "i", "i", "+", "+", "s", "b", "f", "h", "-"]
    screen.plan.update({index: [key] for index, key in enumerate(keys, start=1)})
    done = predict("run.mp4", "--show", "--blur", "bodies", "--track", "-o", "a.mp4", "-o", "a.jsonl")
    assert done.code == 0, done.err
    (saved,) = tmp_path.glob("*.png")
    assert f"saved {saved.name}\n" in done.err
    images = [*decode_video(tmp_path / "a.mp4")[0], cv2.imread(str(saved)), *screen.shown]
    assert len(images) > 24
    for image in images:
        assert image[130:190, 130:190].std() < 0.5 * CHECKERS.std()
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert [[person["track_id"] for person in line["persons"]] for line in lines] == [[1]] * 12


def test_next_model_works_with_track_and_smooth(predict, screen: FakeTk, tmp_path: Path, other_model: Path) -> None:
    write_video(tmp_path / "run.mp4", frames=12)
    screen.plan.update({3: ["m"], 7: ["m"], 8: ["m"]})
    done = predict("run.mp4", "--show", "--track", "--smooth", "--model", other_model)
    assert done.code == 0, done.err
    opened = [line.split(",")[0] for line in done.err.splitlines() if line.startswith("model: ")]
    assert opened[:3] == ["model: tiny", "model: other", "model: mobilenetv2-320"]
    assert "12 images" in done.err


def test_model_with_another_schema_is_refused_while_files_are_written(
    predict, screen: FakeTk, tmp_path: Path, other_model: Path
) -> None:
    write_video(tmp_path / "run.mp4", frames=6)
    screen.plan[2] = ["m"]
    done = predict("run.mp4", "--show", "--model", other_model, "-o", "a.csv", "-o", "a.mp4")
    assert done.code == 1
    assert done.errors == [
        f"error: '{other_model}' detects the keypoints of 'dots', but the outputs of this run hold those of 'coco'"
    ]
    assert len((tmp_path / "a.csv").read_text().splitlines()) == 7
    assert len(read_video(tmp_path / "a.mp4")) == 6


def test_missing_model_is_reported_and_the_run_continues(predict, screen: FakeTk, tmp_path: Path) -> None:
    write_video(tmp_path / "run.mp4", frames=6)
    screen.plan[2] = ["m"]
    done = predict("run.mp4", "--show", "--model", "nowhere.onnx", "-o", "a.jsonl")
    assert done.code == 1
    assert len(done.errors) == 1
    assert "nowhere.onnx" in done.errors[0]
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert [len(line["persons"]) for line in lines] == [1] * 6


def test_several_models_need_show(predict, tmp_path: Path) -> None:
    done = predict(write_image(tmp_path / "white.png"), "--model", "another.onnx")
    assert done.code == 2
    assert "2 models are given" in done.errors[0]
    assert "--show" in done.hints[0]
    assert [path.name for path in tmp_path.iterdir()] == ["white.png"]
