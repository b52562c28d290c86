import json
from pathlib import Path

import cv2
import pytest

from helpers.labels import make_annotations, make_image, make_person, valid_images, write_dataset

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
    return write_dataset(tmp_path / "set", make_annotations(*valid_images(24)))


def test_valid_set_has_no_findings(e2pose, folder: Path) -> None:
    done = e2pose("doctor", "data", folder, "--sheet", "sheets/labels.png", "--json", "report.json", "--count", 7)
    assert done.code == 0
    assert "24 (0 without persons" in done.out
    assert "left_shoulder 100% (100%)" in done.out
    assert done.out.endswith(
        "set: usable for training, learned persons: 24, used images: 24\nkinds of errors: 0, kinds of warnings: 0\n"
    )
    assert cv2.imread("sheets/labels.png").shape == (288 * 2 + 4, 292 * 6 - 4, 3)
    record = json.loads(Path("report.json").read_text(encoding="utf-8"))
    assert record["statistics"][0]["persons"] == 24
    assert record["findings"] == []


def test_only_errors_set_the_exit_code(e2pose, tmp_path: Path) -> None:
    outside = make_image(30, make_person((130.0, 20.0, 50.0, 90.0)))
    folder = write_dataset(tmp_path / "set", make_annotations(*valid_images(24), outside))
    done = e2pose("doctor", "data", "set")
    assert done.code == 0
    assert "warning: set: box outside of the image (1)\n  Check whether" in done.out
    assert "\n  - 30.png: box [130.0, 20.0, 50.0, 90.0] in 160x120 pixels\n" in done.out
    (folder / "images" / "3.png").unlink()
    done = e2pose("doctor", "data", "set")
    assert done.code == 1
    assert "error: set: missing or unreadable image file (1)\n" in done.out
    assert "\n  - there is no file 'set/images/3.png'\n" in done.out
    assert "omitted 1 image: missing or unreadable file (for example there is no file 'set/images/3.png')" in done.out
    assert "\nset: usable for training, learned persons: 24, used images: 24\n" in done.out
    assert done.err == ""


def test_recipe_is_inspected_and_its_augmented_images_are_drawn(e2pose, folder: Path) -> None:
    Path("recipe.toml").write_text(RECIPE, encoding="utf-8")
    done = e2pose("doctor", "data", "recipe.toml", "--augmented", "augmented.webp", "--count", 6)
    assert (done.code, "set: held out" in done.out) == (0, True)
    assert cv2.imread("augmented.webp").shape == (64, 100 * 6 - 4, 3)


def test_data_option_replaces_the_root_of_a_recipe(e2pose, folder: Path) -> None:
    Path("recipe.toml").write_text(RECIPE.replace('root = "."', 'root = "nowhere"'), encoding="utf-8")
    assert e2pose("doctor", "data", "recipe.toml").code == 1
    assert e2pose("doctor", "data", "recipe.toml", "--data", ".").code == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "'nowhere' does not exist"),
        (["set", "--augmented", "a.png"], "--augmented needs exactly one recipe, not 0"),
        (["set", "--sheet", "a.txt"], "'a.txt' is not an image file"),
        (["set", "--json", "set/annotations.json"], "will not be overwritten"),
        (["set", "--count", "0"], "--count must be at least 1"),
        (["empty.toml"], "the recipe 'empty.toml' is invalid"),
    ],
)
def test_wrong_arguments_are_one_error_and_write_nothing(e2pose, folder: Path, words: list[str], message: str) -> None:
    Path("empty.toml").touch()
    before = sorted(Path().rglob("*"))
    done = e2pose("doctor", "data", *words)
    assert done.code in (1, 2)
    assert message in done.err
    assert len(done.errors) == 1
    assert sorted(Path().rglob("*")) == before


def test_help_lists_commands_and_options(e2pose) -> None:
    assert "data" in e2pose("doctor", "--help").out
    assert "--sheet" in e2pose("doctor", "data", "--help").out
    assert "doctor" in e2pose("--help").out
