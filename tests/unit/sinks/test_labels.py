"""Outputs for annotation tools: round trips through our readers and the real libraries."""

import json
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from e2pose.core.errors import MissingExtraError, OutputError
from e2pose.core.frame import Frame, Origin
from e2pose.core.poses import Poses
from e2pose.core.schema import KeypointSchema
from e2pose.data.tool_labels import read_tool_labels
from e2pose.formats.coco import read_coco
from e2pose.sinks.open import open_sink
from helpers.media import draw_nothing, video_frame
from helpers.tool_labels import BRIGHT_XY, CENTRE_XY, SIZE_HW, write_image

SCHEMA = KeypointSchema.from_names(
    "mouse", ["nose", "ear_l", "ear_r"], edges=[("nose", "ear_l"), ("nose", "ear_r")], flip_pairs=[("ear_l", "ear_r")]
)
POINTS = np.float32([[CENTRE_XY, (30, 25), (12.25, 33)], [(1, 2), (3, 4), (np.nan, 5)]])


def poses_of(count=2, tracks=None):
    return Poses(POINTS[:count], np.full((count, 3), 0.5, np.float32), np.float32([0.9, 0.6][:count]), SCHEMA, tracks)


def image_frame(path):
    return Frame(np.zeros((*SIZE_HW, 3), np.uint8), Origin(str(path), Path(path)))


def film_frame(path, index):
    origin = Origin(str(path), Path(path), Fraction(25))
    return Frame(np.zeros((*SIZE_HW, 3), np.uint8), origin, index, index / 25)


def write(target, *entries, notices=None):
    with open_sink(target, draw=draw_nothing, on_notice=[].append if notices is None else notices.append) as sink:
        for frame, poses in entries:
            sink.write(frame, poses)
    return Path(target)


def visible_points(annotations, image, person):
    found = annotations.images[image].persons[person]
    return np.where(found.visibility[:, None] > 0, found.keypoints, np.nan)


def assert_two_images(annotations, names):
    """Two persons in the first image and one in the second."""
    assert [image.file_name for image in annotations.images] == names
    assert [len(image.persons) for image in annotations.images] == [2, 1]
    for image, person in ((0, 0), (0, 1), (1, 0)):
        expected = np.where(np.isfinite(POINTS[person]).all(axis=1)[:, None], POINTS[person], np.nan)
        np.testing.assert_allclose(visible_points(annotations, image, person), expected, atol=2e-3)


@pytest.fixture
def images(tmp_path):
    return [write_image(tmp_path / "labeled-data" / folder / "img0.png") for folder in ("a", "b")]


def test_coco_annotations(tmp_path, images):
    entries = [(image_frame(path), poses_of(count)) for path, count in zip(images, (2, 1), strict=True)]
    path = write(tmp_path / "mice.coco.json", *entries)
    annotations = read_coco(path)
    assert_two_images(annotations, ["a/img0.png", "b/img0.png"])
    assert annotations.schema.edges == SCHEMA.edges
    assert annotations.images[0].size_hw == SIZE_HW
    assert annotations.images[0].persons[0].box == pytest.approx((12.25, 10.5, 17.75, 22.5))


def test_coco_annotations_of_pycocotools(tmp_path, images, capsys):
    pycocotools = pytest.importorskip("pycocotools.coco")
    path = write(tmp_path / "mice.coco.json", (image_frame(images[0]), poses_of()))
    coco = pycocotools.COCO(str(path))
    first = coco.loadAnns(coco.getAnnIds())[0]
    assert first["keypoints"][:3] == [*BRIGHT_XY, 2]
    assert first["num_keypoints"] == 3
    assert coco.loadCats(1)[0]["keypoints"] == list(SCHEMA.keypoints)


def accept_predictions(path):
    """What Label Studio exports after the predictions were accepted as annotations."""
    tasks = json.loads(path.read_text(encoding="utf-8"))
    for task in tasks:
        predictions = task.pop("predictions")
        assert 0 < predictions[0]["score"] < 1
        task["annotations"] = [{"result": predictions[0]["result"], "was_cancelled": False}]
    accepted = path.with_name("export.json")
    accepted.write_text(json.dumps(tasks), encoding="utf-8")
    return accepted


def test_label_studio(tmp_path, images):
    entries = [(image_frame(path), poses_of(count)) for path, count in zip(images, (2, 1), strict=True)]
    path = write(tmp_path / "mice.labelstudio.json", *entries)
    labels = read_tool_labels(accept_predictions(path), images=tmp_path / "labeled-data")
    assert labels.annotations.schema.keypoints == SCHEMA.keypoints
    assert_two_images(labels.annotations, ["a/img0.png", "b/img0.png"])
    assert labels.annotations.images[0].persons[0].box == pytest.approx((12.25, 10.5, 17.75, 22.5), abs=1e-3)


def test_label_studio_predictions_are_no_labels(tmp_path, images):
    path = write(tmp_path / "mice.labelstudio.json", (image_frame(images[0]), poses_of()))
    tasks = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps([{**task, "annotations": []} for task in tasks]), encoding="utf-8")
    with pytest.raises(Exception, match="no labelled keypoint"):
        read_tool_labels(path)


def test_label_studio_of_sleap_io(tmp_path, images):
    sio = pytest.importorskip("sleap_io", reason="the real library of SLEAP's formats is not installed")
    path = write(tmp_path / "mice.labelstudio.json", (image_frame(images[0]), poses_of(1)))
    tasks = json.loads(accept_predictions(path).read_text(encoding="utf-8"))
    results = tasks[0]["annotations"][0]["result"]
    parents = [
        {"type": "relation", "from_id": one["id"], "to_id": one["parentID"]} for one in results if "parentID" in one
    ]
    results += parents  # sleap-io only knows relations
    tasks[0]["meta"] = {"video": {"filename": str(images[0]), "frame_idx": 0, "shape": [1, *SIZE_HW, 3]}}
    path = tmp_path / "export.json"
    path.write_text(json.dumps(tasks), encoding="utf-8")
    labels = sio.load_labelstudio(str(path), skeleton=list(SCHEMA.keypoints))
    np.testing.assert_allclose(labels[0].instances[0].numpy(), POINTS[0], atol=2e-3)


@pytest.mark.parametrize("name", ["CollectedData_me.csv", "collecteddata_me.CSV"])
def test_deeplabcut_with_several_animals(tmp_path, images, name):
    other = write_image(images[0].with_name("img1.png"))
    entries = [(image_frame(images[0]), poses_of(2)), (image_frame(other), poses_of(1))]
    path = write(images[0].with_name(name), *entries)
    assert path.read_text().splitlines()[:2] == [
        "scorer" + ",me" * 12,
        "individuals" + ",individual1" * 6 + ",individual2" * 6,
    ]
    labels = read_tool_labels(path)
    assert_two_images(labels.annotations, ["img0.png", "img1.png"])
    assert path.read_text().splitlines()[4].startswith(f"labeled-data/a/img0.png,{BRIGHT_XY[0]}.0,{BRIGHT_XY[1]}.0,")


@pytest.mark.parametrize(
    ("config", "individuals", "omitted"),
    [
        (None, "individual1 individual2", 0),
        ("multianimalproject: false\nbodyparts: [nose]\n", "", 1),
        ("multianimalproject: true\nindividuals: [x, y, z]\n", "x y z", 0),
        ("multianimalproject: true\nindividuals: [x]\n", "x", 1),
    ],
)
def test_deeplabcut_follows_the_project(tmp_path, images, config, individuals, omitted):
    if config is not None:
        (tmp_path / "config.yaml").write_text(config, encoding="utf-8")
    notices = []
    path = write(images[0].with_name("CollectedData_me.csv"), (image_frame(images[0]), poses_of(2)), notices=notices)
    header = dict(line.split(",", 1) for line in path.read_text().splitlines()[:4])
    assert list(dict.fromkeys(header.get("individuals", "").split(","))) == (individuals.split() or [""])
    assert [f"omitted {omitted} poses" in notice for notice in notices] == [True] * bool(omitted)
    assert len(read_tool_labels(path).annotations.images[0].persons) == 2 - omitted


def test_deeplabcut_of_sleap_io(tmp_path, images):
    sio = pytest.importorskip("sleap_io", reason="the real library of SLEAP's formats is not installed")
    path = write(images[0].with_name("CollectedData_me.csv"), (image_frame(images[0]), poses_of(2)))
    labels = sio.load_file(str(path), format="dlc")
    order = [labels.skeleton.node_names.index(name) for name in SCHEMA.keypoints]
    found = sorted((one.numpy()[order] for one in labels[0].instances), key=lambda one: -one[0, 0])
    np.testing.assert_allclose(found[0], POINTS[0] - 0.5, atol=2e-3)


def test_sleap_of_images_and_videos(tmp_path, images):
    tracks = np.array([7, 3])
    entries = [
        (image_frame(images[0]), poses_of(2, tracks)),
        (film_frame(tmp_path / "film.mp4", 0), poses_of(0)),
        (film_frame(tmp_path / "film.mp4", 8), poses_of(1, tracks[:1])),
    ]
    path = write(tmp_path / "mice.slp", *entries)
    sio = pytest.importorskip("sleap_io", reason="the real library of SLEAP's formats is not installed")
    labels = sio.load_slp(str(path), open_videos=False)
    assert labels.skeleton.node_names == list(SCHEMA.keypoints)
    assert labels.skeleton.edge_inds == [tuple(edge) for edge in SCHEMA.edges]
    assert [sorted(pair) for pair in labels.skeleton.symmetry_inds] == [[1, 2]]
    assert [
        Path(str(video.filename[0] if isinstance(video.filename, list) else video.filename)).name
        for video in labels.videos
    ] == [
        "img0.png",
        "film.mp4",
    ]
    assert [(frame.frame_idx, len(frame)) for frame in labels] == [(0, 2), (0, 0), (8, 1)]
    assert all(isinstance(one, sio.PredictedInstance) for frame in labels for one in frame)
    assert [one.track.name for one in labels[0]] == ["7", "3"]
    np.testing.assert_allclose(labels[0][0].numpy(), POINTS[0] - 0.5, atol=1e-4)
    assert np.isnan(labels[0][1].numpy()[2]).all()
    assert labels[0][0].score == pytest.approx(0.9)
    assert labels[0][0].points["score"].tolist() == pytest.approx([0.5] * 3)


def test_corrected_sleap_labels_are_read_back(tmp_path, images):
    """SLEAP turns predicted instances into labelled ones and saves them by sleap-io."""
    sio = pytest.importorskip("sleap_io", reason="the real library of SLEAP's formats is not installed")
    path = write(
        tmp_path / "mice.slp",
        *((image_frame(path), poses_of(count)) for path, count in zip(images, (2, 1), strict=True)),
    )
    labels = sio.load_slp(str(path))
    for frame in labels:
        frame.instances = [sio.Instance.from_numpy(one.numpy(), skeleton=labels.skeleton) for one in frame]
    labels.save(str(tmp_path / "corrected.slp"), verbose=False)
    read = read_tool_labels(tmp_path / "corrected.slp", images=tmp_path / "labeled-data")
    assert_two_images(read.annotations, ["a/img0.png", "b/img0.png"])
    assert read.annotations.schema.edges == SCHEMA.edges
    assert read.annotations.schema.flip == SCHEMA.flip


@pytest.mark.parametrize("name", ["a.coco.json", "a.labelstudio.json", "CollectedData_a.csv"])
def test_frames_of_videos_are_refused_in_words(tmp_path, name):
    with (
        open_sink(tmp_path / name, draw=draw_nothing) as sink,
        pytest.raises(OutputError, match="image files") as caught,
    ):
        sink.write(film_frame("film.mp4", 3), poses_of())
    assert ".slp" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_camera_without_a_file_is_refused_in_words(tmp_path):
    with (
        open_sink(tmp_path / "a.slp", draw=draw_nothing) as sink,
        pytest.raises(OutputError, match="image and video files"),
    ):
        sink.write(video_frame(0, name="0"), poses_of())


@pytest.mark.parametrize("name", [".coco.json", ".labelstudio.json", ".slp"])
def test_name_that_is_only_a_suffix_is_refused_in_words(tmp_path, name):
    with pytest.raises(Exception, match="no name before its suffix"):
        open_sink(tmp_path / name, draw=draw_nothing)


def test_sleap_without_h5py_names_the_extra(tmp_path, images, monkeypatch):
    path = write(tmp_path / "mice.slp", (image_frame(images[0]), poses_of()))
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(MissingExtraError) as caught:
        open_sink(tmp_path / "a.slp", draw=draw_nothing)
    assert "e2pose[labels]" in caught.value.hint
    with pytest.raises(MissingExtraError):
        read_tool_labels(path)


def test_project_without_pyyaml_names_the_extra(tmp_path, images, monkeypatch):
    (tmp_path / "config.yaml").write_text("bodyparts: [nose]\n", encoding="utf-8")
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(MissingExtraError) as caught:
        read_tool_labels(tmp_path)
    assert "e2pose[labels]" in caught.value.hint
