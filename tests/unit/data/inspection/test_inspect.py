import json
import subprocess
import sys
from dataclasses import asdict

import numpy as np
import pytest

from e2pose.core.errors import OptionError
from e2pose.data.config import AugmentConfig, DataSetConfig
from e2pose.data.inspection.findings import Check, Problem, summarise
from e2pose.data.inspection.image_files import UNREADABLE
from e2pose.data.inspection.inspect import NOTHING_LEARNED, UNUSABLE, RecipeSets, Verdict, inspect, open_subsets
from e2pose.data.inspection.label_sheet import draw_label_sheet, draw_labels
from e2pose.data.inspection.labels import BOX_OUTSIDE, KEYPOINT_OUTSIDE
from e2pose.data.inspection.statistics import label_statistics
from e2pose.data.selection import TOO_SMALL
from helpers.labels import COCO, make_annotations, make_image, make_person, valid_images, write_dataset


def open_all(*sources, **options):
    subsets, unread = open_subsets(sources, **options)
    assert unread == []
    return subsets


def write_valid(folder, count, **options):
    return write_dataset(folder, make_annotations(*valid_images(count)), **options)


def test_summary_counts_problems_with_errors_first_and_frequent_ones_next():
    frequent, rare, error = Check("frequent", ""), Check("rare", ""), Check("error", "", is_error=True)
    problems = [
        *(Problem(frequent, str(number)) for number in range(5)),
        Problem(rare, "r"),
        Problem(error, "e"),
        Problem(rare, "s"),
    ]
    findings = summarise("a", problems)
    assert [(finding.check, finding.count, finding.examples) for finding in findings] == [
        (error, 1, ("e",)),
        (frequent, 5, ("0", "1", "2")),
        (rare, 2, ("r", "s")),
    ]
    assert {finding.subset for finding in findings} == {"a"}


def test_folder_and_json_file_give_the_same_labels(tmp_path):
    folder = write_valid(tmp_path / "set", 6)
    for path in (folder, folder / "annotations.json"):
        (subset,) = open_all(path)
        assert subset.name == str(path)
        assert len(subset.annotations.images) == 6
        assert subset.path(subset.annotations.images[0]) == folder / "images" / "0.png"
    (folder / "images").rename(tmp_path / "elsewhere")
    (subset,) = open_all(folder / "annotations.json", images=tmp_path / "elsewhere")
    assert subset.path(subset.annotations.images[0]).is_file()


def test_sets_of_a_recipe_are_split_into_training_and_held_out_images(tmp_path):
    write_valid(tmp_path / "set", 6)
    sets = (DataSetConfig(path="set", holdout=3), DataSetConfig(path="set"))
    source = RecipeSets("my.toml", sets, "coco", tmp_path, (96, 96), "letterbox", AugmentConfig())
    training, held_out, whole = open_all(source)
    assert [subset.name for subset in (training, held_out, whole)] == ["set", "set: held out", "set"]
    assert [image.id for image in held_out.annotations.images] == [0, 3]
    assert [image.id for image in training.annotations.images] == [1, 2, 4, 5]
    assert len(whole.annotations.images) == 6
    assert training.split == whole.split != held_out.split
    assert {subset.source for subset in (training, held_out, whole)} == {"my.toml"}
    report = inspect([training, held_out, whole])
    assert [selection and selection.persons for selection in report.selections] == [4, None, 6]
    assert report.verdicts == (Verdict("my.toml", usable=True, persons=10, images=10),)


def test_each_split_of_a_yolo_data_set_is_a_subset(tmp_path):
    for split in ("train", "val"):
        folder = write_valid(tmp_path / "coco" / split, 2, seed=split == "val")
        (folder / "images").rename(tmp_path / split)
        (tmp_path / split / "1.txt").write_text("0 0.5 0.5 0.5 0.5 0.5 0.5", encoding="utf-8")
    text = "train: train\nval: val\nnames: [tool]\nkpt_shape: [1, 2]\n"
    (tmp_path / "data.yaml").write_text(text, encoding="utf-8")
    for path in (tmp_path, tmp_path / "data.yaml"):
        train, val = open_all(path)
        assert train.split != val.split
        assert train.path(train.annotations.images[0]) == tmp_path / "train" / "0.png"
    assert not inspect([train, val]).has_errors


def test_unusable_labels_are_an_error_and_other_sets_are_still_read(tmp_path):
    valid = write_valid(tmp_path / "valid", 2)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "annotations.json").write_text("{}", encoding="utf-8")
    subsets, unread = open_subsets([tmp_path / "broken", valid])
    assert [subset.name for subset in subsets] == [str(valid)]
    report = inspect(subsets, unread)
    (finding,) = report.findings
    assert (finding.subset, finding.check) == (str(tmp_path / "broken"), UNUSABLE)
    assert UNUSABLE.is_error
    assert [verdict.usable for verdict in report.verdicts] == [False, True]


def test_missing_path_is_refused(tmp_path):
    with pytest.raises(OptionError, match=r"nowhere' does not exist"):
        open_subsets([tmp_path / "nowhere"])


def test_report_contains_all_findings_and_can_be_written_as_json(tmp_path):
    outside = make_person((130.0, 20.0, 50.0, 90.0))
    folder = write_dataset(tmp_path / "set", make_annotations(*valid_images(3), make_image(9, outside)))
    (folder / "images" / "0.png").unlink()
    report = inspect(open_all(folder))
    assert report.has_errors
    assert [finding.check for finding in report.findings] == [UNREADABLE, KEYPOINT_OUTSIDE, BOX_OUTSIDE]
    record = json.loads(json.dumps(asdict(report), allow_nan=False))
    assert record["findings"][0]["check"]["title"] == UNREADABLE.title
    assert record["findings"][0]["examples"][0].endswith("0.png'")
    assert record["statistics"][0]["images"] == 4


def test_labels_without_persons_are_an_error(tmp_path):
    folder = write_dataset(tmp_path / "set", make_annotations(make_image(1), make_image(2, make_person(is_crowd=True))))
    report = inspect(open_all(folder))
    (finding,) = report.findings
    assert (finding.check, finding.check.is_error) == (NOTHING_LEARNED, True)
    assert finding.examples[0].endswith("can be learned; omitted 1 person: crowd region (for example 2.png)")
    assert not report.verdicts[0].usable


def test_report_of_valid_images_is_empty(tmp_path):
    report = inspect(open_all(write_valid(tmp_path / "set", 3)))
    assert not report.has_errors
    assert report.findings == ()


def test_statistics_count_persons_and_regions(tmp_path):
    images = [
        make_image(0, make_person(), make_person((100.0, 20.0, 30.0, 60.0), visibility=[0, 1] + [2] * 15)),
        make_image(1, make_person(is_crowd=True), make_person(visibility=np.zeros(17)), exhaustive=False),
        make_image(2, make_person(area=1600.0), labelled_keypoints=tuple(range(16))),
        make_image(3, ignore=np.array([[1, 2, 3, 4]], np.float32)),
    ]
    (subset,) = open_all(write_dataset(tmp_path / "set", make_annotations(*images)))
    statistics = label_statistics(subset)
    assert (statistics.images, statistics.empty_images, statistics.non_exhaustive_images) == (4, 2, 1)
    assert (statistics.persons, statistics.persons_without_keypoints) == (3, 1)
    assert (statistics.crowds, statistics.ignored_regions) == (1, 1)
    assert (statistics.persons_per_image, statistics.max_persons_per_image) == (0.75, 2)
    sizes = np.sqrt([0.5 * 50 * 90, 0.5 * 30 * 60, 1600]) / 160
    assert statistics.sizes == pytest.approx(np.percentile(sizes, [5, 50, 95]), abs=1e-4)
    assert statistics.labelled["nose"] == pytest.approx(2 / 3, abs=1e-4)
    assert (statistics.labelled["left_eye"], statistics.visible["left_eye"]) == (1, pytest.approx(2 / 3, abs=1e-4))
    assert statistics.labelled["right_ankle"] == 1, "of the two persons in images that label it"


def test_keypoint_that_no_image_labels_has_no_share(tmp_path):
    image = make_image(0, make_person(visibility=[2] * 16 + [0]), labelled_keypoints=tuple(range(16)))
    (subset,) = open_all(write_dataset(tmp_path / "set", make_annotations(image)))
    assert label_statistics(subset).labelled["right_ankle"] is None


def test_label_sheet_shows_images_of_all_subsets_and_leaves_missing_files_black(tmp_path):
    subsets = open_all(write_valid(tmp_path / "a", 5), write_valid(tmp_path / "b", 5, seed=1))
    (tmp_path / "a" / "images" / "0.png").unlink()
    sheet = draw_label_sheet(subsets, 4)
    tiles = [sheet[:, start : start + 288] for start in range(0, 4 * 292, 292)]
    assert sheet.shape == (288, 4 * 292 - 4, 3)
    assert tiles[0].max() == 0
    assert all(tile.std() > 20 for tile in tiles[1:])
    assert draw_label_sheet([], 4).max() == 0


def test_label_sheet_marks_ignored_persons_in_red(tmp_path):
    crowd = make_image(0, make_person((40.0, 20.0, 80.0, 60.0), is_crowd=True))
    subsets = open_all(write_dataset(tmp_path / "set", make_annotations(crowd)))
    sheet = draw_label_sheet(subsets, 1)
    scale, top = 288 / 160, (288 - 288 / 160 * 120) / 2
    assert sheet[round(top + scale * 20), round(scale * 80)].tolist() == [235, 64, 52]


def test_labels_are_drawn_at_their_positions():
    black = np.zeros((100, 100, 3), np.uint8)
    person = make_person((20.0, 10.0, 50.0, 80.0))
    labelled = person.visibility[None] > 0
    boxes = np.array([[5, 6, 10, 12]], np.float32)
    drawn = draw_labels(black, person.keypoints[None], labelled, boxes, COCO)
    assert drawn[6, 5].tolist() == drawn[18, 15].tolist() == [235, 64, 52]
    x, y = person.keypoints[COCO.keypoints.index("left_hip")].astype(int)
    assert drawn[y, x].max() > 200
    assert black.max() == 0, "the input is not changed"
    unlabelled = draw_labels(black, person.keypoints[None], ~labelled, boxes[:0], COCO)
    assert unlabelled.max() == 0


def test_inspection_does_not_import_torch():
    modules = "e2pose.data.inspection.inspect, e2pose.data.inspection.label_sheet, e2pose.cli.doctor"
    code = f"import sys, {modules}, e2pose.training.recipe; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def write_record(folder, **changes):
    """Writes a valid set and replaces lists of its annotation file; returns the record."""
    path = write_valid(folder, 2) / "annotations.json"
    record = json.loads(path.read_text(encoding="utf-8")) | changes
    path.write_text(json.dumps(record), encoding="utf-8")
    return record


def inspect_paths(*paths, **options):
    return inspect(*open_subsets(paths, **options))


def test_category_of_folders_and_files_can_be_chosen(tmp_path):
    categories = [
        {"id": number, "name": name, "keypoints": list(COCO.keypoints)} for number, name in ((1, "a"), (2, "b"))
    ]
    write_record(tmp_path, categories=categories)
    for path in (tmp_path, tmp_path / "annotations.json"):
        (finding,) = inspect_paths(path).findings
        assert 'hint: choose one: category = "a" of the image set in a recipe, --category on' in finding.examples[0]
        for category, persons in ((["a"], 2), (["1"], 2), (["b"], 0), (["a", "b"], 2), (["*"], 2)):
            assert inspect_paths(path, category=category).verdicts[0].persons == persons


def test_schema_names_the_keypoints_of_folders_and_files(tmp_path):
    write_record(tmp_path, categories=[{"id": 1, "name": "person"}])
    (finding,) = inspect_paths(tmp_path).findings
    assert "--schema coco on the command line" in finding.examples[0]
    assert inspect_paths(tmp_path, schema_name="coco").verdicts[0].usable


def test_missing_split_does_not_hide_the_others(tmp_path):
    for split in ("train", "val"):
        (write_valid(tmp_path / "coco" / split, 2, seed=split == "val") / "images").rename(tmp_path / split)
        (tmp_path / split / "1.txt").write_text("0 0.5 0.5 0.5 0.5 0.5 0.5", encoding="utf-8")
    text = "train: train\nval: val\ntest: ../test/images\nnames: [tool]\nkpt_shape: [1, 2]\n"
    (tmp_path / "data.yaml").write_text(text, encoding="utf-8")
    report = inspect_paths(tmp_path)
    name = tmp_path.name
    assert {one.source: one.usable for one in report.verdicts} == {
        f"{name}: train": True,
        f"{name}: val": True,
        f"{name}: test": False,
    }
    (finding,) = [one for one in report.findings if one.check is UNUSABLE]
    assert "names '../test/images', but there is no" in finding.examples[0]
    assert "remove it if the split does not exist" in finding.examples[0]


def test_folders_have_the_size_limit_of_a_recipe_without_settings(tmp_path):
    tiny, small = (make_person((50.0, 20.0, side, side)) for side in (2.0, 40.0))
    write_dataset(tmp_path, make_annotations(make_image(1, tiny), make_image(2, small)))
    (selection,) = inspect_paths(tmp_path).selections
    assert selection.persons == 1
    assert [omission.reason for omission in selection.omitted] == [TOO_SMALL]


def test_images_beside_the_annotation_file_are_found(tmp_path):
    folder = write_valid(tmp_path, 2)
    for file in (folder / "images").iterdir():
        file.rename(folder / file.name)
    (folder / "images").rmdir()
    (folder / "annotations.json").rename(folder / "_annotations.coco.json")
    assert inspect_paths(folder / "_annotations.coco.json").verdicts[0].usable


def test_wrong_folder_of_the_images_is_explained(tmp_path):
    folder = write_valid(tmp_path, 2)
    findings = inspect_paths(folder / "annotations.json", images=tmp_path / "elsewhere").findings
    (finding,) = [one for one in findings if one.check is NOTHING_LEARNED]
    assert "hint: set images of the image set (--images) to the folder that the file names are" in finding.examples[0]
