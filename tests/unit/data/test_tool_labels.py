"""Labels of annotation tools as image sets of a recipe, in `e2pose doctor data` and in `e2pose evaluate`."""

import json

import cv2
import numpy as np
import pytest

from e2pose.cli.app import main
from e2pose.core.errors import AnnotationError
from e2pose.data.config import DataSetConfig
from e2pose.data.image_sets import open_set, read_set, resolve_schema
from e2pose.data.inspection.inspect import inspect, open_subsets
from e2pose.data.tool_labels import read_tool_labels
from helpers.media import write_clip
from helpers.tool_labels import write_image


def write_deeplabcut(folder, count=4):
    (folder / "labeled-data/film").mkdir(parents=True)
    (folder / "config.yaml").write_text("Task: mice\nscorer: me\nbodyparts: [nose, tail]\n", encoding="utf-8")
    rows = ["scorer,me,me,me,me", "bodyparts,nose,nose,tail,tail", "coords,x,y,x,y"]
    for index in range(count):
        write_image(folder / f"labeled-data/film/img{index}.png")
        rows.append(f"labeled-data/film/img{index}.png,20,10,{30 + index},25")
    (folder / "labeled-data/film/CollectedData_me.csv").write_text("\n".join(rows), encoding="utf-8")
    return folder


def write_label_studio(folder, images="images"):
    write_image(folder / images / "img0.png")
    result = [
        {"id": name, "type": "keypointlabels", "value": {"x": x, "y": 25, "keypointlabels": [name]}}
        for name, x in (("nose", 20), ("tail", 60))
    ]
    tasks = [{"id": 1, "data": {"image": "img0.png"}, "annotations": [{"result": result}]}]
    (folder / "annotations.json").write_text(json.dumps(tasks), encoding="utf-8")
    return folder


@pytest.mark.parametrize("path", ["set", "set/config.yaml", "set/labeled-data/film/CollectedData_me.csv"])
def test_recipe_reads_and_holds_out_images_of_a_tool(tmp_path, path):
    write_deeplabcut(tmp_path / "set")
    config = DataSetConfig(path=path, holdout=2)
    schema = resolve_schema("data", [config], tmp_path)
    opened = open_set(config, tmp_path, schema)
    assert schema.keypoints == ("nose", "tail")
    assert (len(opened.training.images), len(opened.held_out.images)) == (2, 2)
    assert all((opened.folder / image.file_name).is_file() for image in opened.training.images)
    assert {image.group for image in opened.training.images} == {"film"}


@pytest.mark.parametrize(
    ("config", "images"),
    [({}, "images"), ({"images": "pictures"}, "pictures"), ({"annotations": "annotations.json"}, "images")],
)
def test_annotations_json_of_a_tool_is_detected(tmp_path, config, images):
    write_label_studio(tmp_path / "set", images)
    folder, annotations = read_set(DataSetConfig(path="set", **config), tmp_path)
    assert annotations.schema.keypoints == ("nose", "tail")
    assert (folder / annotations.images[0].file_name).is_file()


def test_doctor_inspects_labels_of_tools(tmp_path):
    write_deeplabcut(tmp_path / "a")
    write_label_studio(tmp_path / "b", "pictures")
    file = tmp_path / "b/annotations.json"
    subsets, unread = open_subsets([tmp_path / "a", file], images=tmp_path / "b/pictures")
    assert [len(subset.annotations.images) for subset in subsets] == [4, 1]
    assert not unread
    report = inspect(subsets, unread)
    assert all(verdict.usable for verdict in report.verdicts)


def test_unreadable_labels_of_a_tool_are_a_finding_of_doctor(tmp_path, capsys):
    write_deeplabcut(tmp_path / "a")
    (tmp_path / "a/labeled-data/film/CollectedData_me.csv").write_text("scorer,\n", encoding="utf-8")
    assert main(["doctor", "data", str(tmp_path / "a"), "--quiet"]) == 1
    assert "is not a table of DeepLabCut" in capsys.readouterr().out


def test_evaluate_reads_labels_of_a_tool(tmp_path, capsys, monkeypatch):
    """The keypoints differ from those of the model, so the error shows that the labels were read."""
    write_deeplabcut(tmp_path / "a")
    assert main(["evaluate", "fast", str(tmp_path / "a")]) == 1
    assert "keypoints" in capsys.readouterr().err


def test_path_without_labels_of_a_tool_is_none(tmp_path):
    assert read_tool_labels(tmp_path) is None


def test_colours_of_an_old_package_are_restored(tmp_path, monkeypatch):
    import h5py

    monkeypatch.setenv("E2POSE_HOME", str(tmp_path / "home"))
    image = np.zeros((40, 60, 3), np.uint8)
    image[..., 0] = 200  # blue for OpenCV, which SLEAP wrote for red
    header = {"skeletons": [{"graph": {"name": "m"}, "links": [], "nodes": [{"id": 0}, {"id": 1}]}],
              "nodes": [{"name": "nose"}, {"name": "tail"}]}  # fmt: skip
    with h5py.File(tmp_path / "old.pkg.slp", "w") as file:
        group = file.create_group("metadata")
        group.attrs["format_id"], group.attrs["json"] = 1.2, np.bytes_(json.dumps(header).encode())
        file["points"] = np.array([(1, 2, True, True), (9, 9, True, True)], "f8,f8,?,?").astype(
            [("x", "f8"), ("y", "f8"), ("visible", "?"), ("complete", "?")]
        )
        names = ("instance_id", "instance_type", "frame_id", "skeleton", "point_id_start", "point_id_end")
        file["instances"] = np.array([(0, 0, 0, 0, 0, 2)], [(name, "i8") for name in names])
        file["frames"] = np.array([(0, 0, 0)], [(name, "i8") for name in ("frame_id", "video", "frame_idx")])
        video = {"backend": {"filename": ".", "dataset": "video0/video"}, "filename": "old.pkg.slp"}
        file.create_dataset("videos_json", data=[json.dumps(video)], dtype=h5py.string_dtype())
        file["video0/video"] = np.frombuffer(cv2.imencode(".png", image)[1].tobytes(), np.int8)[None]
        file["video0/video"].attrs["format"] = "png"
    labels = read_tool_labels(tmp_path / "old.pkg.slp")
    extracted = cv2.imread(str(labels.folder / labels.annotations.images[0].file_name))
    assert extracted[0, 0].tolist() == [0, 0, 200]
    assert labels.folder.is_relative_to(tmp_path / "home")


def test_package_with_a_damaged_image_is_refused_in_words():
    from e2pose.data.tool_labels import _swap_red_and_blue

    with pytest.raises(AnnotationError, match="cannot be decoded"):
        _swap_red_and_blue(b"nothing")


def test_doctor_reads_the_configuration_of_a_project(tmp_path):
    write_deeplabcut(tmp_path / "a")
    subsets, unread = open_subsets([tmp_path / "a/config.yaml"], images=None)
    assert [len(subset.annotations.images) for subset in subsets] == [4]
    assert not unread


def test_missing_image_of_a_tool_is_reported_by_doctor(tmp_path):
    write_deeplabcut(tmp_path / "a")
    (tmp_path / "a/labeled-data/film/img2.png").unlink()
    subsets, unread = open_subsets([tmp_path / "a"], images=None)
    report = inspect(subsets, unread)
    assert [finding.check.title for finding in report.findings if finding.check.is_error] == [
        "missing or unreadable image file"
    ]
    assert [verdict.persons for verdict in report.verdicts] == [3]


def test_labelled_frames_of_a_film_are_extracted_once(tmp_path, monkeypatch):
    """Frame i of the film has the grey value 40 * i; SLEAP stores an old path of the film."""
    sio = pytest.importorskip("sleap_io", reason="the real library of SLEAP's formats is not installed")
    monkeypatch.setenv("E2POSE_HOME", str(tmp_path / "home"))
    write_clip(tmp_path / "film.mp4", [np.full((48, 64, 3), 40 * index, np.uint8) for index in range(6)])
    bones = sio.Skeleton(["nose", "tail"])
    film = sio.Video(filename="/old/place/film.mp4", open_backend=False)
    points = np.float64([(20, 10), (30, 25)])
    frames = [sio.LabeledFrame(film, index, [sio.Instance.from_numpy(points, skeleton=bones)]) for index in (1, 4)]
    sio.Labels(frames).save(str(tmp_path / "labels.slp"), verbose=False)
    labels = read_tool_labels(tmp_path / "labels.slp")
    images = labels.annotations.images
    assert [(image.file_name, image.size_hw, image.group) for image in images] == [
        ("film/000001.png", (48, 64), "film"),
        ("film/000004.png", (48, 64), "film"),
    ]
    greys = [cv2.imread(str(labels.folder / image.file_name)).mean() for image in images]
    assert greys == pytest.approx([40, 160], abs=3)
    (tmp_path / "film.mp4").write_bytes(b"changed")
    assert read_tool_labels(tmp_path / "labels.slp").annotations.images[1].file_name == "film/000004.png"


def test_film_without_a_labelled_frame_is_refused_in_words(tmp_path, monkeypatch):
    sio = pytest.importorskip("sleap_io", reason="the real library of SLEAP's formats is not installed")
    monkeypatch.setenv("E2POSE_HOME", str(tmp_path / "home"))
    bones = sio.Skeleton(["nose", "tail"])
    film = sio.Video(filename=str(tmp_path / "film.mp4"), open_backend=False)
    frame = sio.LabeledFrame(film, 9, [sio.Instance.from_numpy(np.float64([(20, 10), (30, 25)]), skeleton=bones)])
    sio.Labels([frame]).save(str(tmp_path / "labels.slp"), verbose=False)
    for write, message in (
        (lambda: None, "neither there nor in"),
        (lambda: (tmp_path / "film.mp4").write_bytes(b"nothing"), "film.mp4"),
        (lambda: write_clip(tmp_path / "film.mp4", [np.zeros((48, 64, 3), np.uint8)] * 3), "its size cannot be read"),
    ):
        write()
        with pytest.raises(AnnotationError, match=message):
            read_tool_labels(tmp_path / "labels.slp")
