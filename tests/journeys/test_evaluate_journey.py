import json
import re
from pathlib import Path

import numpy as np
import pytest

from e2pose.core.schema import load_schema
from helpers.synthetic import TINY_KEYPOINTS, write_image


def person(image_id: int) -> dict[str, object]:
    """Somebody half a pixel beside where the tiny model sees its one person."""
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
    """A bright picture, in which the tiny model sees the person, and a dark one, in which it does not."""
    pictures = {7: 255, 8: 0}
    for image_id, brightness in pictures.items():
        write_image(tmp_path / "images" / f"{image_id}.png", (100, 200), brightness)
    record = {
        "images": [
            {"id": one, "file_name": f"{one}.png", "width": 200, "height": 100, "crowdIndex": 0.5} for one in pictures
        ],
        "annotations": [person(one) for one in pictures],
        "categories": [{"id": 1, "name": "person", "keypoints": list(load_schema("coco").keypoints), "skeleton": []}],
    }
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(record))
    return path, tmp_path / "images"


def test_a_model_is_measured(e2pose, tiny_model: Path, annotated, tmp_path: Path) -> None:
    outputs = "--json", "numbers.json", "--detections", "found.json", "--report", "report"
    done = e2pose("evaluate", tiny_model, *annotated, "--protocol", "coco", *outputs)
    assert done.code == 0, done.err
    assert re.search(r"^AP +50\.5$", done.out, re.M)  # 51 of 101 recalls are reached, with a precision of 1
    assert re.search(r"^network +\d+\.\d +\d+\.\d$", done.out, re.M)
    numbers = json.loads((tmp_path / "numbers.json").read_text())
    assert numbers["ap"] == pytest.approx(51 / 101)
    assert numbers["images"] == numbers["persons"] == 2
    assert numbers["latency"]["total"]["p90_ms"] > 0
    assert [entry["image_id"] for entry in json.loads((tmp_path / "found.json").read_text())] == [7]
    worst = sorted(path.name for path in (tmp_path / "report" / "worst").iterdir())
    assert worst == ["01-8.jpg", "02-7.jpg"], "nobody was found in picture 8"


def test_stored_poses_are_measured_without_a_model(e2pose, tiny_model: Path, annotated, tmp_path: Path) -> None:
    first = e2pose("evaluate", tiny_model, *annotated, "--detections", "found.json", "--limit", "1")
    again = e2pose(
        "evaluate", "found.json", annotated[0], "--limit", "1", "--report", "report", "--json", "numbers.json"
    )
    assert again.code == 0, again.err
    assert again.err == ""
    assert first.out.startswith(again.out.rstrip("\n"))
    assert re.search(r"^protocol +crowdpose$", again.out, re.M)
    assert re.search(r"^AP medium +100\.0$", again.out, re.M)
    assert re.search(r"^AP easy +-$", again.out, re.M)
    assert json.loads((tmp_path / "numbers.json").read_text())["latency"] == {}
    assert {path.name for path in (tmp_path / "report").iterdir()} == {"calibration.png", "precision_recall.png"}


def test_the_sigmas_of_a_schema(e2pose, tiny_model: Path, annotated, tmp_path: Path) -> None:
    record = load_schema("coco").to_record()
    names = json.dumps(record["keypoints"])
    (tmp_path / "strict.toml").write_text(f'name = "strict"\nkeypoints = {names}\nsigmas = {[1e-3] * 17}\n')
    done = e2pose("evaluate", tiny_model, *annotated, "--schema", "strict.toml")
    assert re.search(r"^AP +0\.0$", done.out, re.M)


def test_missing_pictures(e2pose, tiny_model: Path, annotated, tmp_path: Path) -> None:
    done = e2pose("evaluate", tiny_model, annotated[0], tmp_path, "--json", "numbers.json")
    assert done.code == 1
    assert len(done.errors) == len(done.hints) == 1
    assert not (tmp_path / "numbers.json").exists()


def test_a_model_needs_pictures(e2pose, tiny_model: Path, annotated) -> None:
    done = e2pose("evaluate", tiny_model, annotated[0])
    assert done.code == 1
    assert "the folder of the pictures must be given" in done.errors[0]


@pytest.mark.parametrize("option", ["--json", "--detections"])
@pytest.mark.parametrize("place", ["annotations.json", "images", "images/7.png/a.json"])
def test_outputs_that_cannot_be_written_are_found_at_once(e2pose, annotated, option: str, place: str) -> None:
    before = annotated[0].read_bytes()
    done = e2pose("evaluate", "no such model", *annotated, option, place)
    assert done.code == 1
    assert len(done.errors) == len(done.hints) == 1
    assert place.split("/", maxsplit=1)[0] in done.errors[0], "it is about the output, not about the model"
    assert annotated[0].read_bytes() == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--json", "a.json", "--detections", "./a.json"], "cannot hold both"),
        (["--report", "images"], "is not empty"),
        (["--report", "annotations.json"], "is a file"),
        (["--schema", "none.toml"], "cannot read the keypoint schema 'none.toml'"),
    ],
)
def test_options_that_make_no_sense(e2pose, annotated, words: list[str], message: str) -> None:
    done = e2pose("evaluate", "no such model", *annotated, *words)
    assert done.code == 1
    assert message in done.errors[0]
    assert len(done.errors) == len(done.hints) == 1


def test_wrong_results_are_one_error(e2pose, annotated, tmp_path: Path) -> None:
    (tmp_path / "found.json").write_text('[{"image_id": 7, "keypoints": [1], "score": 1}]')
    done = e2pose("evaluate", "found.json", annotated[0])
    assert done.code == 1
    assert "position 0" in done.errors[0]
    assert done.out == ""
