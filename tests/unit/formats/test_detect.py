"""Which annotation tool wrote a file or folder."""

import json

import h5py
import pytest

from e2pose.core.errors import AnnotationError
from e2pose.formats.detect import find_labels

COCO = {"images": [{"id": 1, "file_name": "shapes"}], "annotations": [], "categories": []}
LABELME = {"version": "5", "flags": {}, "shapes": [], "imagePath": "a.png"}
LABEL_STUDIO = [{"id": 1, "data": {"image": "a.png"}, "annotations": []}]
LONG_TASK = [{"id": 1, "annotations": [{"result": [{"value": "x" * 70_000}]}], "data": {"image": "a.png"}}]
RESULTS = [{"image_id": 1, "keypoints": [], "score": 1.0, "data": 1}]
DEEPLABCUT = "Task: mice\nbodyparts:\n- nose\n"
TABLE = "scorer,me\nbodyparts,nose\ncoords,x\n"
CVAT = '<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version></annotations>'
YOLO = "train: images\nnames: [person]\nkpt_shape: [17, 3]\n"


def write(folder, **files):
    """Writes files; `__` in a name stands for a slash, and `_` before the suffix for a point."""
    for name, content in files.items():
        stem, _, suffix = name.replace("__", "/").rpartition("_")
        path = folder / f"{stem}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return folder


def hdf5(path):
    with h5py.File(path, "w") as file:
        file["a"] = [1]
    return path


@pytest.mark.parametrize(
    ("files", "tool", "found"),
    [
        ({"config_yaml": DEEPLABCUT}, "DeepLabCut", "config.yaml"),
        ({"config_yaml": "multianimalproject: true\n"}, "DeepLabCut", "config.yaml"),
        ({"CollectedData_me_csv": TABLE}, "DeepLabCut", "CollectedData_me.csv"),
        ({"annotations_xml": CVAT}, "CVAT", "annotations.xml"),
        ({"task_1_xml": CVAT}, "CVAT", "task_1.xml"),
        ({"project-1_json": LABEL_STUDIO}, "Label Studio", "project-1.json"),
        ({"annotations_json": LABEL_STUDIO}, "Label Studio", "annotations.json"),
        ({"project-1_json": LONG_TASK}, "Label Studio", "project-1.json"),
        ({"project-1_json": [{"image": "a.png", "id": 1, "annotation_id": 3}]}, "Label Studio", "project-1.json"),
        ({"a_json": LABELME, "b_json": LABELME}, "LabelMe", ""),
        ({"left__a_json": LABELME, "right__a_json": LABELME}, "LabelMe", ""),
    ],
)
def test_tool_of_a_folder_and_of_its_file(tmp_path, files, tool, found):
    write(tmp_path, **files)
    labels = find_labels(tmp_path)
    assert (labels.tool.name, labels.path) == (tool, tmp_path / found)
    if found:
        assert find_labels(tmp_path / found) == labels


@pytest.mark.parametrize(
    ("name", "tool"), [("a.slp", "SLEAP"), ("a.pkg.slp", "SLEAP"), ("CollectedData_me.h5", "DeepLabCut")]
)
def test_tool_of_a_binary_file(tmp_path, name, tool):
    path = hdf5(tmp_path / name)
    assert find_labels(path).tool.name == find_labels(tmp_path).tool.name == tool


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"annotations_json": COCO},
        {"results_json": RESULTS},
        {"data_yaml": YOLO},
        {"config_yaml": YOLO},
        {"data_yaml": YOLO, "images_xml": YOLO},
        {"a_csv": "file,frame\n"},
        {"a_xml": "<kml></kml>"},
        {"a_json": "[]"},
        {"a_json": "nonsense"},
        {"._a_json": LABELME},
        {"a_slp": "text"},
    ],
)
def test_other_files_have_no_tool(tmp_path, files):
    write(tmp_path, **files)
    assert find_labels(tmp_path) is None
    assert all(find_labels(path) is None for path in tmp_path.iterdir())


def test_byte_order_mark_and_white_space_are_skipped(tmp_path):
    (tmp_path / "a.json").write_text("﻿ \n" + json.dumps(LABEL_STUDIO), encoding="utf-8")
    assert find_labels(tmp_path).tool.name == "Label Studio"


def test_several_files_are_refused_in_words(tmp_path):
    write(tmp_path, a_json=LABEL_STUDIO, b_json=LABEL_STUDIO)
    with pytest.raises(AnnotationError, match=r"has 2 files of Label Studio: 'a.json', 'b.json'") as caught:
        find_labels(tmp_path)
    assert caught.value.hint
    assert find_labels(tmp_path / "b.json").path == tmp_path / "b.json"


def test_path_that_does_not_exist_has_no_tool(tmp_path):
    assert find_labels(tmp_path / "gone") is None


@pytest.mark.parametrize("usual", [{"annotations_json": COCO}, {"data_yaml": YOLO}])
def test_coco_and_yolo_take_precedence_in_their_folder(tmp_path, usual):
    write(tmp_path, poses_json=LABEL_STUDIO, task_xml=CVAT, **usual)
    assert find_labels(tmp_path) is None
    assert find_labels(tmp_path / "task.xml").tool.name == "CVAT"


def test_folder_with_many_files_of_labelme_is_detected_by_the_first(tmp_path, monkeypatch):
    write(tmp_path, **{f"{number}_json": LABELME for number in range(20)})
    opened = []
    open_file = type(tmp_path).open
    monkeypatch.setattr(type(tmp_path), "open", lambda path, *mode: opened.append(path.name) or open_file(path, *mode))
    assert find_labels(tmp_path).tool.name == "LabelMe"
    assert len(opened) == 1
