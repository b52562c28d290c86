import json
from pathlib import Path

import cv2
import pytest

from helpers.labels import good_images, made_dataset, made_image, made_person, write_dataset

RECIPE = """
name = "x"
input_size_hw = [64, 96]
[data]
root = "."
sets = [{ path = "set", holdout = 4 }]
[augment]
mosaic = 0.5
paste = 0.5
[optim]
steps = 1
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "set", made_dataset(*good_images(24)))


def test_a_good_set(e2pose, folder: Path) -> None:
    done = e2pose("doctor", "data", folder, "--sheet", "sheets/labels.png", "--json", "report.json", "--count", 7)
    assert done.code == 0
    assert "24 (0 without people" in done.out
    assert "left_shoulder 100% (100%)" in done.out
    assert done.out.endswith("0 kinds of errors, 0 kinds of warnings\n")
    assert cv2.imread("sheets/labels.png").shape == (288 * 2 + 4, 292 * 6 - 4, 3)
    record = json.loads(Path("report.json").read_text(encoding="utf-8"))
    assert record["statistics"][0]["people"] == 24
    assert record["findings"] == []


def test_errors_and_warnings(e2pose, tmp_path: Path) -> None:
    wrong = made_image(30, made_person((130.0, 20.0, 50.0, 90.0)))
    folder = write_dataset(tmp_path / "set", made_dataset(*good_images(24), wrong))
    done = e2pose("doctor", "data", "set")
    assert done.code == 0, "warnings alone"
    assert "warning: set: box outside of the picture (1)\n  30.png: box [130.0, 20.0, 50.0, 90.0]" in done.out
    (folder / "images" / "3.png").unlink()
    done = e2pose("doctor", "data", "set")
    assert done.code == 1
    assert "error: set: missing or unreadable file (1)\n  there is no file 'set/images/3.png'" in done.out
    assert done.err == ""


def test_a_recipe_and_what_its_training_will_see(e2pose, folder: Path) -> None:
    Path("recipe.toml").write_text(RECIPE, encoding="utf-8")
    done = e2pose("doctor", "data", "recipe.toml", "--canvases", "canvases.webp", "--count", 6)
    assert (done.code, "set: held out" in done.out) == (0, True)
    assert cv2.imread("canvases.webp").shape == (64, 100 * 6 - 4, 3)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nowhere"], "there is no 'nowhere'"),
        (["set", "--canvases", "a.png"], "there are 0 recipes"),
        (["set", "--sheet", "a.txt"], "'a.txt' has not the suffix of a picture"),
        (["set", "--json", "set/annotations.json"], "will not be overwritten"),
        (["set", "--count", "0"], "--count must be at least 1"),
        (["empty.toml"], "wrong entries"),
    ],
)
def test_what_cannot_be_done_is_one_error(e2pose, folder: Path, words: list[str], says: str) -> None:
    Path("empty.toml").touch()
    before = sorted(Path().rglob("*"))
    done = e2pose("doctor", "data", *words)
    assert done.code == 1
    assert says in done.err
    assert len(done.errors) == 1
    assert sorted(Path().rglob("*")) == before


def test_the_command_has_help(e2pose) -> None:
    assert "data" in e2pose("doctor", "--help").out
    assert "--sheet" in e2pose("doctor", "data", "--help").out
    assert "doctor" in e2pose("--help").out
