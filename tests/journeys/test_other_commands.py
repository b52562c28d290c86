import json
import re
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

from e2pose.core.schema import load_schema
from e2pose.zoo.catalog import read_catalog
from made import TINY_KEYPOINTS, write_picture


@pytest.fixture
def annotated(tmp_path: Path) -> tuple[Path, Path]:
    """One bright picture whose person is where the tiny model sees it."""
    picture = write_picture(tmp_path / "images" / "000000000007.png", (100, 200))
    points = TINY_KEYPOINTS * [200, 100] - 0.5
    person = {
        "id": 1,
        "image_id": 7,
        "category_id": 1,
        "iscrowd": 0,
        "bbox": [50, 20, 100, 60],
        "area": 6000,
        "num_keypoints": 17,
        "keypoints": np.concatenate([points, np.full((17, 1), 2)], axis=1).ravel().tolist(),
    }
    record = {
        "images": [{"id": 7, "file_name": picture.name, "width": 200, "height": 100}],
        "annotations": [person],
        "categories": [{"id": 1, "name": "person", "keypoints": list(load_schema("coco").keypoints), "skeleton": []}],
    }
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(record))
    return path, picture.parent


def test_evaluate_finds_a_perfect_model_perfect(e2pose, tiny_model: Path, annotated, tmp_path: Path) -> None:
    done = e2pose("evaluate", tiny_model, *annotated, "--json", "numbers.json", "--detections", "found.json")
    assert done.code == 0, done.err
    assert re.search(r"^AP +100\.0$", done.out, re.M)
    assert done.err == ""
    numbers = json.loads((tmp_path / "numbers.json").read_text())
    assert numbers["ap"] == pytest.approx(1)
    assert numbers["images"] == numbers["persons"] == 1
    assert [entry["image_id"] for entry in json.loads((tmp_path / "found.json").read_text())] == [7]


def test_evaluate_with_missing_pictures(e2pose, tiny_model: Path, annotated, tmp_path: Path) -> None:
    done = e2pose("evaluate", tiny_model, annotated[0], tmp_path, "--json", "numbers.json")
    assert done.code == 1
    assert len(done.errors) == len(done.hints) == 1
    assert not (tmp_path / "numbers.json").exists()


@pytest.mark.parametrize("option", ["--json", "--detections"])
def test_evaluate_does_not_replace_the_annotations(e2pose, tiny_model: Path, annotated, option: str) -> None:
    before = annotated[0].read_bytes()
    done = e2pose("evaluate", tiny_model, *annotated, option, annotated[0])
    assert done.code == 1
    assert len(done.errors) == len(done.hints) == 1
    assert annotated[0].read_bytes() == before


def test_models_are_listed_on_stdout(e2pose) -> None:
    done = e2pose("models")
    entries, default = read_catalog()
    assert done.code == 0
    assert done.err == ""
    assert f"{default} (default)" in done.out
    assert len(done.out.splitlines()) == 1 + len(entries)


def test_version(e2pose) -> None:
    done = e2pose("--version")
    assert (done.code, done.out.strip()) == (0, version("e2pose"))


def test_no_command_shows_help(e2pose) -> None:
    done = e2pose()
    assert done.code == 0
    assert "predict" in done.out


@pytest.mark.parametrize(
    "words", [["train", "missing.toml"], ["export", "missing.safetensors", "out.onnx"], ["train", "empty.toml"]]
)
def test_what_cannot_be_read_is_one_error(e2pose, tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "empty.toml").touch()
    done = e2pose(*words)
    assert done.code == 1
    assert len(done.errors) == 1, done.err
    assert words[1] in done.errors[0]
    assert {path.name for path in tmp_path.iterdir()} == {"empty.toml"}
