"""YOLO pose data sets."""

import numpy as np
import pytest

from e2pose.core.errors import AnnotationError, InputError
from e2pose.core.schema import load_schema
from e2pose.formats.boxes import DEFAULT_AREA_RATIO
from e2pose.formats.yolo import read_data_yaml, read_yolo

YAML = """
train: images/train
val: [images/val]
names: {0: person}
kpt_shape: [3, 3]
flip_idx: [1, 0, 2]
kpt_names: {0: [leftTip, rightTip, grip]}
"""
LINE = "0 0.5 0.25 0.5 0.25 0.25 0.125 2 0.75 0.375 1.0 0 0 0\n"


def write(folder, yaml=YAML, **labels):
    """Writes a data set of empty image files; `train_1="..."` is the text file of images/train/1.jpg."""
    for name, text in labels.items():
        split, _, stem = name.partition("_")
        for kind, suffix, content in (("images", ".jpg", ""), ("labels", ".txt", text)):
            parent = folder / kind / split
            parent.mkdir(parents=True, exist_ok=True)
            (parent / f"{stem}{suffix}").write_text(content, encoding="utf-8")
    path = folder / "data.yaml"
    path.write_text(yaml, encoding="utf-8")
    return path


def read(path, split="train"):
    return read_yolo(path, split, suffixes={".jpg"}, size_of=lambda path: (80, 200))


def test_fractions_become_pixels_without_an_offset(tmp_path):
    dataset = read(write(tmp_path, train_1=LINE))
    (image,) = dataset.images
    (person,) = image.persons
    assert (image.file_name, image.size_hw) == ("images/train/1.jpg", (80, 200))
    assert person.keypoints.tolist() == [[50, 10], [150, 30], [0, 0]]
    assert person.visibility.tolist() == [2, 1, 0]
    assert person.box == (50, 10, 100, 20)
    assert person.area == pytest.approx(DEFAULT_AREA_RATIO * 2000)
    assert not person.is_crowd


def test_1_is_the_far_corner_of_the_image(tmp_path):
    line = "0 0.5 0.5 1 1 1 1 2 0 0 2 0.5 0.5 2"
    person = read(write(tmp_path, train_1=line)).images[0].persons[0]
    assert person.keypoints.tolist() == [[200, 80], [0, 0], [100, 40]]


def test_schema_has_the_names_and_flip_pairs_of_the_file(tmp_path):
    schema = read_data_yaml(write(tmp_path)).schema
    assert (schema.name, schema.keypoints, schema.flip) == ("person", ("leftTip", "rightTip", "grip"), (1, 0, 2))
    without_flip = YAML.replace("flip_idx: [1, 0, 2]\n", "")
    assert read_data_yaml(write(tmp_path, without_flip)).schema.flip == (1, 0, 2), "by the names"
    nameless = YAML.replace("kpt_names: {0: [leftTip, rightTip, grip]}\n", "")
    schema = read_data_yaml(write(tmp_path, nameless)).schema
    assert (schema.keypoints, schema.flip) == (("0", "1", "2"), (1, 0, 2))
    names = ", ".join(load_schema("coco").keypoints)
    known = f"names: [person]\nkpt_shape: [17, 2]\nkpt_names:\n  0: [{names}]\n"
    assert read_data_yaml(write(tmp_path, known)).schema == load_schema("coco")


def test_images_without_labels_and_blank_lines_have_no_persons(tmp_path):
    path = write(tmp_path, train_1="\n" + LINE + "\n", train_2="")
    (tmp_path / "images" / "train" / "3.jpg").touch()
    (tmp_path / "images" / "train" / "notes.md").touch()
    assert [len(image.persons) for image in read(path).images] == [1, 0, 0]


def test_missing_folder_of_labels_is_an_error(tmp_path):
    path = write(tmp_path, train_1=LINE)
    (tmp_path / "labels").rename(tmp_path / "lables")
    with pytest.raises(AnnotationError, match=r"none of the 1 images of 'train' has a text file.*labels/train/1\.txt"):
        read(path)


def test_with_two_values_keypoints_at_the_origin_or_negative_are_not_labelled(tmp_path):
    yaml = YAML.replace("[3, 3]", "[3, 2]")
    person = read(write(tmp_path, yaml, train_1="0 0.5 0.5 1 1 0.5 0.5 0 0 -1 0.2")).images[0].persons[0]
    assert person.visibility.tolist() == [2, 0, 0]


def test_lines_of_other_classes_are_skipped(tmp_path):
    yaml = YAML.replace("{0: person}", "{0: ball, 3: Person}").replace("kpt_names: {0:", "kpt_names: {3:")
    path = write(tmp_path, yaml, train_1=LINE + LINE.replace("0 ", "3 ", 1) + "1 0.5 0.5 0.1 0.1\n")
    assert len(read(path).images[0].persons) == 1
    assert read_data_yaml(path).schema.keypoints == ("leftTip", "rightTip", "grip")


def test_splits_are_folders_lists_or_text_files_relative_to_path(tmp_path):
    data = tmp_path / "sets" / "mine"
    write(data, train_1=LINE, val_2=LINE)
    (data / "some.txt").write_text("images/val/2.jpg\n\nimages/train/1.jpg\n", encoding="utf-8")
    yaml = YAML.replace("train: images/train", "path: sets/mine\ntrain: some.txt\ntest: [images/train, ../images/val]")
    path = tmp_path / "data.yaml"
    path.write_text(yaml, encoding="utf-8")
    assert [image.file_name for image in read(path).images] == ["images/val/2.jpg", "images/train/1.jpg"]
    assert [image.file_name for image in read(path, "test").images] == ["images/train/1.jpg", "images/val/2.jpg"]
    assert read_data_yaml(path).folder == data


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 0.5 0.5 1 1 0 0 2", r"1\.txt', line 2 .* must have 14 finite numbers .* not 8"),
        ("0 0.5 0.5 1 1 0 0 2 0 0 2 nan 0 2", "line 2 .* must have 14 finite numbers"),
        ("0 0.5 half 1 1 0 0 2 0 0 2 0 0 2", "line 2 is invalid: could not convert string to float: 'half'"),
        ("0 0.5 0.5 1 1 0 0 2 0 0 3 0 0 2", "line 2 .* must be 0, 1 or 2"),
        ("0 100 40 20 20 0 0 2 0 0 2 0 0 2", "line 2 .* inside the image, in fractions"),
        ("0 0.5 0.5 -1 1 0 0 2 0 0 2 0 0 2", "line 2 .* inside the image, in fractions"),
    ],
)
def test_invalid_line_is_named_in_the_error(tmp_path, line, message):
    with pytest.raises(AnnotationError, match=message):
        read(write(tmp_path, train_1=f"{LINE}{line}\n"))


@pytest.mark.parametrize(
    ("yaml", "message"),
    [
        ("", "has no entries"),
        ("a: [", r"cannot read .*data\.yaml"),
        (YAML.replace("{0: person}", "[cat, dog]"), "one class, or one named 'person'"),
        (YAML.replace("names: {0: person}", ""), "one class, or one named 'person'"),
        (YAML.replace("kpt_shape: [3, 3]", ""), "kpt_shape is invalid: None"),
        (YAML.replace("[3, 3]", "[3, 4]"), "kpt_shape is invalid"),
        (YAML.replace("[3, 3]", "[2, 3]"), "has 3 names in kpt_names, but 2 keypoints in kpt_shape"),
        (YAML.replace("[1, 0, 2]", "[1, 2, 0]"), "0 flips to 1, which flips to 2"),
        (YAML.replace("[1, 0, 2]", "[1, 0]"), "2 indices in flip_idx for 3 keypoints"),
        (YAML.replace("[1, 0, 2]", "[1, 0, 9]"), "flip_idx or kpt_names is invalid"),
        (YAML.replace("grip", "leftTip"), "repeats keypoint names"),
        (YAML.replace("images/train", "nowhere"), "names 'nowhere', but there is no"),
        (YAML.replace("train:", "tain:"), "has no split 'train'; available: val"),
    ],
)
def test_invalid_data_yaml_is_refused(tmp_path, yaml, message):
    with pytest.raises(AnnotationError, match=message):
        read(write(tmp_path, yaml, train_1=LINE))


def test_errors_of_image_files_are_raised(tmp_path):
    def refuse(path):
        raise InputError(f"cannot read {path.name}")

    with pytest.raises(InputError, match=r"1\.jpg"):
        read_yolo(write(tmp_path, train_1=LINE), "train", suffixes={".jpg"}, size_of=refuse)


def test_x_is_relative_to_the_width_and_y_to_the_height(tmp_path):
    path = write(tmp_path, train_1=LINE)
    tall = read_yolo(path, "train", suffixes={".jpg"}, size_of=lambda path: (400, 100)).images[0].persons[0]
    np.testing.assert_allclose(tall.keypoints[:2], [[25, 50], [75, 150]])
