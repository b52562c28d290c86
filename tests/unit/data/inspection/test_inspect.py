import json
import subprocess
import sys

import numpy as np
import pytest

from e2pose.core.errors import OptionError
from e2pose.data.inspection.findings import Problem, summarise
from e2pose.data.inspection.inspect import LABELS, inspect, open_parts
from e2pose.data.inspection.label_sheet import draw_labels, label_sheet
from e2pose.data.inspection.statistics import label_statistics
from helpers.labels import COCO, good_images, made_dataset, made_image, made_person, write_dataset

RECIPE = 'name = "x"\n[data]\nroot = "{root}"\nsets = [{sets}]\n[optim]\nsteps = 1\n'


def parts_of(*paths, images=None, root=None):
    parts, findings = open_parts(paths, images=images, root=root)
    assert findings == []
    return parts


def test_problems_are_counted_errors_first():
    problems = (
        [Problem("dull", f"{n}") for n in range(5)] + [Problem("rare", "r")] + [Problem("bad", "b", is_error=True)]
    )
    bad, dull, rare = summarise("a", problems)
    assert (bad.check, bad.is_error, bad.count, bad.examples) == ("bad", True, 1, ("b",))
    assert (dull.check, dull.count, dull.examples) == ("dull", 5, ("0", "1", "2"))
    assert rare.part == "a"


def test_a_folder_a_file_and_a_recipe_lead_to_the_same_labels(tmp_path):
    folder = write_dataset(tmp_path / "set", made_dataset(*good_images(6)))
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE.format(root=tmp_path, sets='{path = "set", holdout = 3}'), encoding="utf-8")
    (plain,), (file,) = parts_of(folder), parts_of(folder / "annotations.json")
    learned, heldout = parts_of(recipe)
    assert [part.name for part in (plain, learned, heldout)] == [str(folder), "set", "set: held out"]
    for part in (plain, file):
        assert len(part.dataset.images) == 6
        assert part.path(part.dataset.images[0]) == folder / "images" / "0.png"
    assert [image.id for image in heldout.dataset.images] == [0, 3]
    assert len(learned.dataset.images) == 4
    assert learned.side != heldout.side
    (folder / "images").rename(tmp_path / "elsewhere")
    (elsewhere,) = parts_of(folder / "annotations.json", images=tmp_path / "elsewhere")
    assert elsewhere.path(elsewhere.dataset.images[0]).is_file()
    moved = tmp_path / "moved"
    moved.mkdir()
    folder.rename(moved / "set")
    assert len(parts_of(recipe, root=moved)[0].dataset.images) == 4


def test_every_split_of_a_yolo_folder_is_a_part_of_its_own(tmp_path):
    for split in ("train", "val"):
        folder = write_dataset(tmp_path / "made" / split, made_dataset(*good_images(2)), seed=split == "val")
        (folder / "images").rename(tmp_path / split)
        (tmp_path / split / "1.txt").write_text("0 0.5 0.5 0.5 0.5 0.5 0.5", encoding="utf-8")
    text = "train: train\nval: val\nnames: [tool]\nkpt_shape: [1, 2]\n"
    (tmp_path / "data.yaml").write_text(text, encoding="utf-8")
    for path in (tmp_path, tmp_path / "data.yaml"):
        train, val = parts_of(path)
        assert train.side != val.side
        assert train.path(train.dataset.images[0]) == tmp_path / "train" / "0.png"
    assert not inspect([train, val]).has_errors


def test_labels_that_cannot_be_used_are_an_error_and_the_others_are_still_looked_at(tmp_path):
    good = write_dataset(tmp_path / "good", made_dataset(*good_images(2)))
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "annotations.json").write_text("{}", encoding="utf-8")
    parts, (finding,) = open_parts([bad, good], images=None, root=None)
    assert [part.name for part in parts] == [str(good)]
    assert (finding.part, finding.check, finding.is_error) == (str(bad), LABELS, True)
    with pytest.raises(OptionError, match=r"there is no '.*nowhere'"):
        open_parts([tmp_path / "nowhere"], images=None, root=None)


def test_a_report_has_everything_and_can_be_written_as_json(tmp_path):
    person = made_person((130.0, 20.0, 50.0, 90.0))
    folder = write_dataset(tmp_path / "set", made_dataset(*good_images(3), made_image(9, person)))
    (folder / "images" / "0.png").unlink()
    report = inspect(parts_of(folder))
    assert report.has_errors
    assert [finding.check for finding in report.findings] == [
        "missing or unreadable file",
        "keypoint outside of the picture",
        "box outside of the picture",
    ]
    record = json.loads(json.dumps(report.to_record(), allow_nan=False))
    assert record["findings"][0]["examples"][0].endswith("0.png'")
    assert record["statistics"][0]["images"] == 4
    assert not inspect(parts_of(write_dataset(tmp_path / "good", made_dataset(*good_images(3))))).has_errors


def test_statistics(tmp_path):
    visibility = np.array([0, 1] + [2] * 15)
    images = [
        made_image(0, made_person(), made_person((100.0, 20.0, 30.0, 60.0), visibility=visibility), exhaustive=False),
        made_image(1, made_person(is_crowd=True), made_person(visibility=np.zeros(17))),
        made_image(2, made_person(area=1600.0), labelled_keypoints=tuple(range(16))),
        made_image(3, ignore=np.array([[1, 2, 3, 4]], np.float32)),
    ]
    (part,) = parts_of(write_dataset(tmp_path / "set", made_dataset(*images)))
    numbers = label_statistics(part)
    assert (numbers.images, numbers.empty_images, numbers.not_exhaustive) == (4, 2, 1)
    assert (numbers.people, numbers.people_without_keypoints, numbers.crowds, numbers.ignored) == (3, 1, 1, 1)
    assert (numbers.people_per_image, numbers.most_people) == (0.75, 2)
    assert numbers.sizes[1] == pytest.approx(np.median(np.sqrt([0.5 * 50 * 90, 0.5 * 30 * 60, 1600])) / 160, abs=1e-4)
    assert numbers.labelled["nose"] == pytest.approx(2 / 3, abs=1e-4)
    assert (numbers.labelled["left_eye"], numbers.visible["left_eye"]) == (1, pytest.approx(2 / 3, abs=1e-4))
    assert numbers.labelled["right_ankle"] == 1, "of the two people in images where it is labelled"


def test_a_keypoint_that_no_image_labels_has_no_share(tmp_path):
    image = made_image(0, made_person(visibility=[2] * 16 + [0]), labelled_keypoints=tuple(range(16)))
    (part,) = parts_of(write_dataset(tmp_path / "set", made_dataset(image)))
    assert label_statistics(part).labelled["right_ankle"] is None


def test_a_sheet_shows_images_of_all_parts_and_survives_missing_files(tmp_path):
    parts = parts_of(
        write_dataset(tmp_path / "a", made_dataset(*good_images(5))),
        write_dataset(tmp_path / "b", made_dataset(*good_images(5)), seed=1),
    )
    (tmp_path / "a" / "images" / "0.png").unlink()
    sheet = label_sheet(parts, 4)
    tiles = [sheet[:, start : start + 288] for start in range(0, 4 * 292, 292)]
    assert sheet.shape == (288, 4 * 292 - 4, 3)
    assert tiles[0].max() == 0
    assert all(tile.std() > 20 for tile in tiles[1:])
    assert label_sheet([], 4).max() == 0


def test_labels_are_drawn_where_they_are():
    black = np.zeros((100, 100, 3), np.uint8)
    person = made_person((20.0, 10.0, 50.0, 80.0))
    labelled = person.visibility[None] > 0
    boxes = np.array([[5, 6, 10, 12]], np.float32)
    drawn = draw_labels(black, person.keypoints[None], labelled, boxes, COCO)
    assert drawn[6, 5].tolist() == drawn[18, 15].tolist() == [235, 64, 52]
    x, y = person.keypoints[COCO.keypoints.index("left_hip")].astype(int)
    assert drawn[y, x].max() > 200
    assert black.max() == 0
    nobody = draw_labels(black, person.keypoints[None], ~labelled, boxes[:0], COCO)
    assert nobody.max() == 0


def test_no_torch_is_needed():
    rooms = "e2pose.data.inspection.inspect, e2pose.data.inspection.label_sheet, e2pose.cli.doctor"
    code = f"import sys, {rooms}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
