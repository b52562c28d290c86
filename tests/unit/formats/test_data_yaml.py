"""Variants of `data.yaml` in the documentation of Ultralytics and in exports of tools."""

from pathlib import Path

import pytest

from e2pose.core.errors import AnnotationError
from e2pose.formats.yolo import read_yolo

LINE = "0 0.5 0.5 0.5 0.5 0.4 0.4 2 0.6 0.6 2\n"
OTHER = LINE.replace("0", "1", 1)
YAML = "train: images/train\nval: images/val\nkpt_shape: [2, 3]\nnames: [person]\n"


def write(folder: Path, yaml: str, *, lines: str = LINE, images=("images/train/a.jpg", "images/val/b.jpg")) -> Path:
    for name in images:
        label = (folder / name.replace("images", "labels")).with_suffix(".txt")
        for path, text in ((folder / name, ""), (label, lines)):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    (folder / "data.yaml").write_text(yaml, encoding="utf-8")
    return folder / "data.yaml"


def read(path, split="train", **options):
    return read_yolo(path, split, suffixes={".jpg"}, size_of=lambda path: (80, 200), **options)


@pytest.mark.parametrize(
    "path",
    ["coco8-pose", "../datasets/coco8-pose", "/content/datasets/coco8-pose", "C:\\Users\\me\\set", "n" * 5000],
)
def test_missing_folder_of_another_machine_is_replaced_by_that_of_the_file(tmp_path, path):
    annotations = read(write(tmp_path, f"path: {path}\n{YAML}"))
    (image,) = annotations.images
    assert (image.file_name, len(image.persons)) == ("images/train/a.jpg", 1)
    (note,) = annotations.notes
    assert note.endswith("(path), so paths are relative to the folder of the file")


def test_existing_folder_is_used(tmp_path):
    write(tmp_path / "set", YAML)
    path = write(tmp_path, f"path: set\n{YAML}", images=("images/train/other.jpg",))
    annotations = read(path)
    assert [image.file_name for image in annotations.images] == ["images/train/a.jpg"]
    assert annotations.notes == ()


@pytest.mark.parametrize("entry", ["/home/me/images/train", "images/nowhere", "C:\\set\\train"])
def test_missing_split_is_named_with_the_next_step(tmp_path, entry):
    path = write(tmp_path, YAML.replace("images/train", entry))
    with pytest.raises(AnnotationError, match=r"data.yaml' names '.*', but there is no '") as caught:
        read(path)
    assert "correct this entry, or remove it if the split does not exist" in caught.value.hint
    assert len(read(path, "val").images) == 1


@pytest.mark.parametrize("key", ["val", "valid", "validation"])
def test_validation_split_has_several_names(tmp_path, key):
    assert len(read(write(tmp_path, YAML.replace("val:", f"{key}:")), "val").images) == 1


@pytest.mark.parametrize(
    "names", ["nc: 1", "names: [person]\nnc: 1", "names: {'0': person}", "names: {person: 0}", "names: person"]
)
def test_names_of_one_class(tmp_path, names):
    assert len(read(write(tmp_path, YAML.replace("names: [person]", names))).images[0].persons) == 1


@pytest.mark.parametrize(("choice", "count"), [("player", 1), (1, 1), ("*", 2), (["player", "referee"], 2)])
def test_class_is_chosen_by_name_number_or_all(tmp_path, choice, count):
    path = write(tmp_path, YAML.replace("[person]", "[player, referee]"), lines=LINE + OTHER)
    with pytest.raises(AnnotationError, match="has 2 classes, none of them named 'person'") as caught:
        read(path)
    assert caught.value.hint.startswith('choose one: category = "player" of the image set in a recipe, --category')
    assert len(read(path, category=choice).images[0].persons) == count


def test_list_may_name_images_relative_to_itself(tmp_path):
    path = write(tmp_path, YAML.replace("train: images/train", "train: images/train.txt"))
    (tmp_path / "images" / "train.txt").write_text("./train/a.jpg\n", encoding="utf-8")
    assert [image.file_name for image in read(path).images] == ["images/train/a.jpg"]


def test_confidence_at_the_end_of_a_line_is_explained(tmp_path):
    with pytest.raises(AnnotationError, match="not 12; a confidence at the end is not accepted"):
        read(write(tmp_path, YAML, lines=LINE.strip() + " 0.9\n"))


def test_keys_without_meaning_for_labels_are_accepted(tmp_path):
    extra = "test:\nnc: 1\ndownload: |\n  from pathlib import Path\n  print(1)\nroboflow:\n  version: 1\n"
    assert len(read(write(tmp_path, YAML + extra)).images) == 1
