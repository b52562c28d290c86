"""YOLO pose data sets."""

from pathlib import Path

import numpy as np
import pytest

from e2pose.core.errors import AnnotationError, InputError
from e2pose.core.schema import load_schema
from e2pose.formats.boxes import DEFAULT_AREA_RATIO
from e2pose.formats.data_yaml import read_data_yaml
from e2pose.formats.yolo import read_yolo

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
    with pytest.raises(AnnotationError, match=r"no image of 'train' has a text file.*labels/train/1\.txt"):
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
        ("0 0.5 0.5 1 1 0 0 2", r"1\.txt', line 2: there must be 14 numbers .* not 8"),
        ("0 0.5 0.5 1 1 0 0 0 0 0 0", r"line 2: there must be 14 numbers .* not 11; that fits kpt_shape \[3, 2\]"),
        ("0 0.5 0.5", "line 2: there must be 14 numbers .* not 3"),
        ("0", "line 2: there must be 14 numbers .* not 1"),
        ("0 0.5 half 1 1 0 0 2 0 0 2 0 0 2", 'line 2: "half" is not a number'),
        ("person 0.5 0.5 1 1 0 0 2 0 0 2 0 0 2", 'line 2: "person" is not a number'),
        ("0.5 0.5 0.5 1 1 0 0 2 0 0 2 0 0 2", "line 2: the class must be a whole number, not 0.5"),
        ("nan 0.5 0.5 1 1 0 0 2 0 0 2 0 0 2", "line 2: the class must be a whole number, not nan"),
        ("0 0.5 0.5 1 1 0 0 2 0 0 3 0 0 2", "line 2: the visibility of 'rightTip' must be 0, 1 or 2, not 3"),
        ("0 0.5 0.5 1 1 0 0 2 0 0 0.9 0 0 2", "line 2: the visibility of 'rightTip' must be 0, 1 or 2, not 0.9"),
        ("0 0.5 0.5 1 1 0 0 2 nan 0 2 0 0 2", r"line 2: 'rightTip' is at \[nan, 0.0\]; keypoints must be in fractions"),
        ("0 0.5 0.5 1 1 0 0 2 320 24 2 0 0 2", r"'rightTip' is at \[320.0, 24.0\]; .* fractions .*, not in pixels"),
        ("0 100 40 20 20 0 0 2 0 0 2 0 0 2", "line 2: .* inside the image, in fractions"),
        ("0 0.5 0.5 -1 1 0 0 2 0 0 2 0 0 2", "line 2: .* inside the image, in fractions"),
        ("0 0.5 0.5 nan 1 0 0 2 0 0 2 0 0 2", "line 2: .* inside the image, in fractions"),
        ("0 0.5 0.5 inf 1 0 0 2 0 0 2 0 0 2", "line 2: .* inside the image, in fractions"),
    ],
)
def test_invalid_line_is_named_in_the_error(tmp_path, line, message):
    with pytest.raises(AnnotationError, match=message):
        read(write(tmp_path, train_1=f"{LINE}{line}\n"))


def test_invalid_lines_of_all_files_are_reported_together(tmp_path):
    lines = "0 1\n" * 4
    with pytest.raises(
        AnnotationError, match=r"8 invalid entries: .*1\.txt', line 1: .*2\.txt', line 1: .*; and 3 more"
    ):
        read(write(tmp_path, train_1=lines, train_2=lines))


@pytest.mark.parametrize(
    ("yaml", "message"),
    [
        ("", "has no entries"),
        ("a: [", r"cannot read .*data\.yaml"),
        ("a: !!bool maybe", r"cannot read .*data\.yaml"),
        ("a: 2024-99-99", r"cannot read .*data\.yaml.*month"),
        ("[" * 2000, r"cannot read .*data\.yaml"),
        (YAML.replace("{0: person}", "[cat, dog]"), "has 2 classes, none of them named 'person'"),
        (YAML.replace("names: {0: person}", ""), "the entry 'names' with the names of the classes is missing"),
        (YAML.replace("{0: person}", "{first: person}"), "'names' must be a number, not \"first\""),
        (YAML.replace("kpt_shape: [3, 3]", ""), "the entry 'kpt_shape' is missing, as in data sets of boxes"),
        (YAML.replace("[3, 3]", "[3, 4]"), r"'kpt_shape' must be .*, not \[3, 4\]"),
        (YAML.replace("[3, 3]", "[1000000000, 3]"), "'kpt_shape' must be .*, not"),
        (YAML.replace("[3, 3]", "[2, 3]"), "there are 3 names in 'kpt_names', but 2 keypoints in 'kpt_shape'"),
        (YAML.replace("[1, 0, 2]", "[1, 2, 0]"), "0 flips to 1, which flips to 2"),
        (YAML.replace("[1, 0, 2]", "[1, 0]"), "'flip_idx' must have one index for each of 3 keypoints"),
        (YAML.replace("[1, 0, 2]", "[1, 0, 9]"), "'flip_idx' must have indices from 0 to 2"),
        (YAML.replace("[1, 0, 2]", "[1, 0, -1]"), "'flip_idx' must have indices from 0 to 2"),
        (YAML.replace("[1, 0, 2]", "[1, 0, x]"), "'flip_idx' must be a number, not \"x\""),
        (YAML.replace("[1, 0, 2]", "5"), "'flip_idx' must have one index for each of 3 keypoints, not 5"),
        (YAML.replace("grip", "leftTip"), "repeats keypoint names"),
        (YAML.replace("{0: [leftTip, rightTip, grip]}", "grip"), "'kpt_names' must be a list of names"),
        (YAML.replace("images/train", "nowhere"), "names 'nowhere', but there is no"),
        (YAML.replace("images/train", "n" * 5000), "names 'nnn"),
        (YAML.replace("train:", "tain:"), "has no split 'train'; available: val"),
    ],
)
def test_invalid_data_yaml_is_refused(tmp_path, yaml, message):
    with pytest.raises(AnnotationError, match=message) as caught:
        read(write(tmp_path, yaml, train_1=LINE))
    assert caught.value.hint
    assert "\n" not in caught.value.message


BOM = b"\xef\xbb\xbf"


def test_byte_order_marks_and_line_ends_of_windows_are_skipped(tmp_path):
    path = write(tmp_path, train_1="")
    (tmp_path / "labels" / "train" / "1.txt").write_bytes(BOM + LINE.replace("\n", "\r\n").encode())
    (tmp_path / "list.txt").write_bytes(BOM + b"images\\train\\1.jpg\r\n\r\n")
    path.write_bytes(BOM + YAML.replace("images/train", "list.txt").replace("\n", "\r\n").encode())
    (image,) = read(path).images
    assert image.file_name == "images/train/1.jpg"
    assert len(image.persons) == 1


def test_paths_may_have_backslashes(tmp_path):
    write(tmp_path / "sets" / "mine", train_1=LINE)
    path = tmp_path / "data.yaml"
    path.write_text(YAML.replace("train: images/train", "path: sets\\mine\ntrain: images\\train"), encoding="utf-8")
    assert [image.file_name for image in read(path).images] == ["images/train/1.jpg"]


@pytest.mark.parametrize("separator", ["  ", "\t", ",", ", "])
def test_separators_and_spaces_at_the_ends_are_accepted(tmp_path, separator):
    line = f" {LINE.strip().replace(' ', separator)} \t\n\n  \n"
    assert len(read(write(tmp_path, train_1=line)).images[0].persons) == 1


def test_hidden_files_of_operating_systems_are_skipped(tmp_path):
    path = write(tmp_path, train_1=LINE, **{"train_._1": "\0\5"})
    folder = tmp_path / "images" / "train"
    (folder / ".ipynb_checkpoints").mkdir()
    for name in (".ipynb_checkpoints/1.jpg", ".DS_Store", "Thumbs.db"):
        (folder / name).touch()
    assert [image.file_name for image in read(path).images] == ["images/train/1.jpg"]
    (tmp_path / "list.txt").write_text("images/train/._1.jpg\nimages/train/1.jpg\n", encoding="utf-8")
    path.write_text(YAML.replace("images/train", "list.txt"), encoding="utf-8")
    assert [image.file_name for image in read(path).images] == ["images/train/1.jpg"]


def test_folder_that_cannot_be_listed_is_an_error(tmp_path, monkeypatch):
    def refuse(folder, pattern):
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(Path, "rglob", refuse)
    with pytest.raises(AnnotationError, match=r"cannot read the folder .*train': Permission denied"):
        read(write(tmp_path, train_1=LINE))


@pytest.mark.parametrize("line", ["/", "..", "a/..", "a\0.jpg"])
def test_line_of_a_list_that_is_no_file_is_named(tmp_path, line):
    path = write(tmp_path, YAML.replace("images/train", "list.txt"), train_1=LINE)
    (tmp_path / "list.txt").write_text(f"images/train/1.jpg\n{line}\n", encoding="utf-8")
    with pytest.raises(AnnotationError, match=r"list\.txt'(, line 2: it must be the path of an image|: .*zero bytes)"):
        read(path)


def test_line_without_keypoints_is_a_person_without_keypoints(tmp_path):
    dataset = read(write(tmp_path, train_1="0 0.5 0.5 0.5 0.5\n"))
    (person,) = dataset.images[0].persons
    assert not person.has_keypoints
    assert person.box == (50, 20, 100, 40)


def test_unlabelled_keypoints_may_have_any_position(tmp_path):
    line = "0 0.5 0.5 1 1 0.5 0.5 2 nan nan 0 640 -1e300 0"
    person = read(write(tmp_path, train_1=line)).images[0].persons[0]
    assert person.visibility.tolist() == [2, 0, 0]
    assert np.isfinite(person.keypoints).all()


def test_box_without_size_is_derived_from_the_keypoints(tmp_path):
    line = "0 0.5 0.5 0 0 0.25 0.5 2 0.5 0.75 2 0 0 0\n"
    dataset = read(write(tmp_path, train_1=line + "0 0.5 0.5 0 0 0.25 0.5 2 0 0 0 0 0 0\n"))
    (person,) = dataset.images[0].persons
    assert person.box == (45, 35, 60, 30)
    assert dataset.notes == ("the box has no size, so it is derived from the keypoints (1 line)",)
    assert [(one.count, one.reason) for one in dataset.omitted] == [
        (1, "the box has no size, and the labelled keypoints do not span one")
    ]


def test_lines_of_other_classes_are_counted(tmp_path):
    yaml = YAML.replace("{0: person}", "{0: person, 1: ball}")
    dataset = read(write(tmp_path, yaml, train_1=LINE + "1 0.5 0.5 0.1 0.1\n7 0.5 0.5 0.1 0.1\n7 0\n"))
    assert [(one.count, one.reason) for one in dataset.omitted] == [
        (2, "the class is not in 'names'"),
        (1, "the class 'ball' is not read"),
    ]
    assert dataset.omitted[0].example.endswith("1.txt', line 3, class 7")


def test_empty_and_missing_text_files_are_counted(tmp_path):
    path = write(tmp_path, train_1=LINE, train_2="", train_3=" \n")
    (tmp_path / "images" / "train" / "4.jpg").touch()
    assert read(path).notes == (
        "the text file is empty, so the image has no persons (2 images)",
        "there is no text file, so the image has no persons (1 image)",
    )


@pytest.mark.parametrize(("category", "count"), [("ball", 1), ("CAT", 1), (1, 1), ("1", 1), (("ball", "cat"), 2)])
def test_class_can_be_chosen(tmp_path, category, count):
    path = write(tmp_path, YAML.replace("{0: person}", "[cat, ball]"), train_1=LINE + LINE.replace("0 ", "1 ", 1))
    options = {"suffixes": {".jpg"}, "size_of": lambda path: (80, 200)}
    assert len(read_yolo(path, "train", category=category, **options).images[0].persons) == count
    with pytest.raises(AnnotationError, match="there is no class 'dog'"):
        read_yolo(path, "train", category=("cat", "dog"), **options)


@pytest.mark.parametrize(
    "names",
    ["{0: [lhip, rhip, grip]}", "{'0': [lhip, rhip, grip]}", "[lhip, rhip, grip]", "{0: lhip, 1: rhip, 2: grip}"],
)
@pytest.mark.parametrize("flip", ["", "flip_idx:\n", "flip_idx: []\n"])
def test_missing_flip_pairs_follow_from_the_names(tmp_path, names, flip):
    yaml = YAML.replace("flip_idx: [1, 0, 2]\n", flip).replace("{0: [leftTip, rightTip, grip]}", names)
    schema = read_data_yaml(write(tmp_path, yaml)).schema
    assert (schema.keypoints, schema.flip) == (("lhip", "rhip", "grip"), (1, 0, 2))


def test_errors_of_image_files_are_raised(tmp_path):
    def refuse(path):
        raise InputError(f"cannot read {path.name}")

    with pytest.raises(InputError, match=r"1\.jpg"):
        read_yolo(write(tmp_path, train_1=LINE), "train", suffixes={".jpg"}, size_of=refuse)


def test_x_is_relative_to_the_width_and_y_to_the_height(tmp_path):
    path = write(tmp_path, train_1=LINE)
    tall = read_yolo(path, "train", suffixes={".jpg"}, size_of=lambda path: (400, 100)).images[0].persons[0]
    np.testing.assert_allclose(tall.keypoints[:2], [[25, 50], [75, 150]])
