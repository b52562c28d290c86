import json
import re
from pathlib import Path

import numpy as np
import pytest

from e2pose.core.schema import load_schema
from helpers.synthetic import TINY_KEYPOINTS, write_image


def person(image_id: int) -> dict[str, object]:
    """A person half a pixel above the detection of the tiny model."""
    points = TINY_KEYPOINTS * [200, 100] - [0, 0.5]
    return {
        "id": image_id,
        "image_id": image_id,
        "category_id": 1,
        "iscrowd": 0,
        "bbox": [50, 20, 100, 60],
        "area": 6000,
        "num_keypoints": 17,
        "keypoints": np.concatenate([points, np.full((17, 1), 2)], axis=1).ravel().tolist(),
    }


@pytest.fixture
def annotated(tmp_path: Path) -> tuple[Path, Path]:
    """Annotations and folder of a bright image, in which the tiny model detects its person, and of a dark one."""
    brightness = {7: 255, 8: 0}
    for image_id, value in brightness.items():
        write_image(tmp_path / "images" / f"{image_id}.png", (100, 200), value)
    record = {
        "images": [
            {"id": image_id, "file_name": f"{image_id}.png", "width": 200, "height": 100, "crowdIndex": 0.5}
            for image_id in brightness
        ],
        "annotations": [person(image_id) for image_id in brightness],
        "categories": [{"id": 1, "name": "person", "keypoints": list(load_schema("coco").keypoints), "skeleton": []}],
    }
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(record))
    return path, tmp_path / "images"


def test_model_is_evaluated_with_all_outputs(e2pose, tiny_model: Path, annotated, tmp_path: Path) -> None:
    outputs = "--json", "numbers.json", "--detections", "poses.json", "--report", "report"
    done = e2pose("evaluate", tiny_model, *annotated, "--protocol", "coco", *outputs)
    assert done.code == 0, done.err
    assert re.search(r"^AP +50\.5$", done.out, re.M)  # 51 of 101 recalls are reached, with a precision of 1
    assert re.search(r"^network +\d+\.\d +\d+\.\d$", done.out, re.M)
    numbers = json.loads((tmp_path / "numbers.json").read_text())
    assert numbers["ap"] == pytest.approx(51 / 101)
    assert numbers["num_images"] == numbers["num_persons"] == 2
    assert numbers["latency"]["total"]["p90_ms"] > 0
    assert [entry["image_id"] for entry in json.loads((tmp_path / "poses.json").read_text())] == [7]
    worst = sorted(path.name for path in (tmp_path / "report" / "worst").iterdir())
    assert worst == ["01-8.jpg", "02-7.jpg"], "the person in image 8 is missed"


def test_stored_poses_are_evaluated_without_a_model(e2pose, tiny_model: Path, annotated, tmp_path: Path) -> None:
    first = e2pose("evaluate", tiny_model, *annotated, "--detections", "poses.json", "--limit", "1")
    stored = e2pose(
        "evaluate", "poses.json", annotated[0], "--limit", "1", "--report", "report", "--json", "numbers.json"
    )
    assert stored.code == 0, stored.err
    assert stored.err == ""
    assert first.out.startswith(stored.out.rstrip("\n"))
    assert re.search(r"^protocol +crowdpose$", stored.out, re.M)
    assert re.search(r"^AP medium +100\.0$", stored.out, re.M)
    assert re.search(r"^AP easy +no person$", stored.out, re.M)
    assert json.loads((tmp_path / "numbers.json").read_text())["latency"] == {}
    assert {path.name for path in (tmp_path / "report").iterdir()} == {"calibration.png", "precision_recall.png"}


def test_schema_option_replaces_the_sigmas(e2pose, tiny_model: Path, annotated, tmp_path: Path) -> None:
    record = load_schema("coco").to_record()
    names = json.dumps(record["keypoints"])
    (tmp_path / "strict.toml").write_text(f'name = "strict"\nkeypoints = {names}\nsigmas = {[1e-3] * 17}\n')
    done = e2pose("evaluate", tiny_model, *annotated, "--schema", "strict.toml")
    assert re.search(r"^AP +0\.0$", done.out, re.M)


def test_missing_images_are_one_error(e2pose, tiny_model: Path, annotated, tmp_path: Path) -> None:
    done = e2pose("evaluate", tiny_model, annotated[0], tmp_path, "--json", "numbers.json")
    assert done.code == 1
    assert len(done.errors) == len(done.hints) == 1
    assert not (tmp_path / "numbers.json").exists()


def test_model_without_image_folder_is_one_error(e2pose, tiny_model: Path, annotated) -> None:
    done = e2pose("evaluate", tiny_model, annotated[0])
    assert done.code == 2
    assert "without the image folder" in done.errors[0]


@pytest.mark.parametrize("option", ["--json", "--detections"])
@pytest.mark.parametrize("target", ["annotations.json", "images", "images/7.png/a.json"])
def test_unwritable_outputs_are_reported_before_the_model_is_loaded(
    e2pose, annotated, option: str, target: str
) -> None:
    before = annotated[0].read_bytes()
    done = e2pose("evaluate", "no such model", *annotated, option, target)
    assert done.code == 1
    assert len(done.errors) == len(done.hints) == 1
    assert target.split("/", maxsplit=1)[0] in done.errors[0], "the error is about the output, not about the model"
    assert annotated[0].read_bytes() == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--json", "a.json", "--detections", "./a.json"], "are the same file"),
        (["--report", "images"], "is not empty"),
        (["--report", "annotations.json"], "is a file"),
        (["--schema", "none.toml"], "none.toml"),
    ],
)
def test_invalid_options_are_one_error(e2pose, annotated, words: list[str], message: str) -> None:
    done = e2pose("evaluate", "no such model", *annotated, *words)
    assert done.code == 1
    assert message in done.errors[0]
    assert len(done.errors) == len(done.hints) == 1


def test_invalid_results_are_one_error(e2pose, annotated, tmp_path: Path) -> None:
    (tmp_path / "poses.json").write_text('[{"image_id": 7, "keypoints": [1], "score": 1}]')
    done = e2pose("evaluate", "poses.json", annotated[0])
    assert done.code == 1
    assert "position 0" in done.errors[0]
    assert done.out == ""
