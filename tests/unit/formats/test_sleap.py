"""Files of SLEAP, written by sleap-io and by hand."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest

from e2pose.core.errors import AnnotationError
from e2pose.formats.sleap import read_sleap
from helpers.tool_labels import BRIGHT_XY, CENTRE_XY, make_access, points_of, write_image

POINT = [("x", "f8"), ("y", "f8"), ("visible", "?"), ("complete", "?")]
INSTANCE = [
    ("instance_id", "i8"), ("instance_type", "u1"), ("frame_id", "u8"), ("skeleton", "u4"), ("track", "i4"),
    ("from_predicted", "i8"), ("score", "f4"), ("point_id_start", "u8"), ("point_id_end", "u8"),
]  # fmt: skip
FRAME = [
    ("frame_id", "u8"),
    ("video", "u4"),
    ("frame_idx", "u8"),
    ("instance_id_start", "u8"),
    ("instance_id_end", "u8"),
]
NAN = float("nan")
LEFT_RIGHT = {"py/reduce": [{"py/type": "sleap.skeleton.EdgeType"}, {"py/tuple": [2]}]}
BODY = {"py/reduce": [{"py/type": "sleap.skeleton.EdgeType"}, {"py/tuple": [1]}]}


def skeleton(name="mouse", nodes=(0, 1), links=((0, 1, BODY),)):
    links = [{"source": source, "target": target, "type": kind, "key": 0} for source, target, kind in links]
    return {"graph": {"name": name}, "links": links, "nodes": [{"id": node} for node in nodes]}


def film(name="film.mp4"):
    return {"backend": {"type": "MediaVideo", "filename": name}, "filename": name}


def sequence(*names):
    return {"backend": {"type": "ImageVideo", "filename": names[0], "filenames": names}, "filename": names}


PACKED = {"backend": {"type": "HDF5Video", "filename": ".", "dataset": "video0/video"}, "filename": "a.pkg.slp"}


def write(folder, instances, *, videos=None, frames=((0, 0),), skeletons=None, format_id=1.4, nodes=("nose", "tail")):
    """Writes a file. An instance is (frame, points), or (frame, points, type, skeleton); a frame (video, index)."""
    for name in ("a/img0.png", "b/img0.png"):
        write_image(folder / name)
    instances = [(*one, 0, 0)[:4] if len(one) == 2 else one for one in instances]
    points = [xy for _, one, *_ in instances for xy in one]
    starts = np.cumsum([0, *(len(one) for _, one, *_ in instances)])
    path = folder / "labels.slp"
    header = {"skeletons": skeletons or [skeleton()], "nodes": [{"name": name} for name in nodes]}
    with h5py.File(path, "w") as file:
        group = file.create_group("metadata")
        group.attrs["format_id"] = format_id
        group.attrs["json"] = np.bytes_(json.dumps(header).encode())
        file["points"] = np.array([(*xy, True, True)[:4] if len(xy) == 2 else (*xy, True) for xy in points], POINT)
        file["instances"] = np.array(
            [(index, kind, frame, bones, -1, -1, 0, starts[index], starts[index + 1])
             for index, (frame, _, kind, bones) in enumerate(instances)], INSTANCE
        )  # fmt: skip
        file["frames"] = np.array([(index, *frame, 0, 0) for index, frame in enumerate(frames)], FRAME)
        texts = [json.dumps(video) for video in videos or [sequence("/old/place/a/img0.png")]]
        file.create_dataset("videos_json", data=texts, dtype=h5py.string_dtype())
    return path


def read(path, category=None):
    return read_sleap(path, None, make_access(path.parent / "cache"), category)


MOUSE = (0, [BRIGHT_XY, (30, 25)])


@pytest.mark.parametrize(("format_id", "expected"), [(1.4, CENTRE_XY), (1.1, CENTRE_XY), (1.0, BRIGHT_XY)])
def test_point_lands_where_the_tool_draws_it(tmp_path, format_id, expected):
    """Since format 1.1 the centre of the first pixel is (0, 0), before its corner was."""
    labels = read(write(tmp_path, [MOUSE], format_id=format_id))
    assert points_of(labels)["nose"] == (*expected, 2)
    image = labels.annotations.images[0]
    assert (image.file_name, image.group) == ("a/img0.png", "a")
    assert labels.annotations.schema.edges == ((0, 1),)


def test_hidden_and_missing_points(tmp_path):
    points = [(1, 2, True), (3, 4, False), (NAN, NAN, False)]
    bones = skeleton(nodes=(0, 1, 2), links=())
    labels = read(write(tmp_path, [(0, points)], skeletons=[bones], nodes=("nose", "tail", "ear")))
    assert points_of(labels) == {"nose": (1.5, 2.5, 2), "tail": (3.5, 4.5, 1)}


def test_predictions_and_unlabelled_frames_are_omitted(tmp_path):
    predicted = (0, [(1, 1), (5, 5)], 1, 0)
    path = write(tmp_path, [MOUSE, predicted, (1, [(NAN, NAN), (NAN, NAN)])], frames=((0, 0), (0, 1)))
    labels = read(path).annotations
    assert [len(image.persons) for image in labels.images] == [1]
    assert {one.reason: one.count for one in labels.omitted} == {
        "they are predictions, not labels": 1,
        "no point has a position": 1,
        "they have no instance that was labelled by hand": 1,
    }


def test_folders_with_equal_image_names_stay_apart(tmp_path):
    videos = [sequence("/x/a/img0.png"), sequence("C:\\x\\b\\img0.png"), sequence("/y/a/img1.png")]
    path = write(tmp_path, [MOUSE, (1, [(1, 2), (3, 4)])], videos=videos, frames=((0, 0), (1, 0)))
    images = read(path).annotations.images
    assert [(image.file_name, image.group) for image in images] == [("a/img0.png", "a"), ("b/img0.png", "b")]


def test_order_of_nodes_and_symmetries_of_a_skeleton(tmp_path):
    links = [(2, 0, BODY), (0, 1, LEFT_RIGHT), (1, 0, {"py/id": 2}), (2, 1, {"py/id": 1})]
    bones = {"nx_graph": skeleton(nodes=(2, 0, 1), links=links)}
    path = write(tmp_path, [(0, [(1, 2), (3, 4), (5, 6)])], skeletons=[bones],
                 nodes=("one", "other", "nose"))  # fmt: skip
    schema = read(path).annotations.schema
    assert schema.keypoints == ("nose", "one", "other")
    assert schema.edges == ((0, 1), (0, 2))
    assert schema.flip == (0, 2, 1)
    assert points_of(read(path))["other"] == (5.5, 6.5, 2)


def test_one_of_several_skeletons_is_chosen(tmp_path):
    path = write(tmp_path, [MOUSE, (0, [(1, 2), (3, 4)], 0, 1)], skeletons=[skeleton(), skeleton("rat")])
    with pytest.raises(AnnotationError, match="the skeletons 'mouse', 'rat'; accepted is one"):
        read(path)
    labels = read(path, "rat")
    assert points_of(labels)["nose"] == (1.5, 2.5, 2)
    assert len(labels.annotations.images[0].persons) == 1


def pack(path, *, number=5, encoding="png", order=None):
    """Puts an image with a red pixel into a file."""
    image = np.zeros((40, 60, 3), np.uint8)
    image[BRIGHT_XY[1], BRIGHT_XY[0]] = (0, 0, 255)
    content = np.frombuffer(cv2.imencode(".png", image)[1].tobytes() + bytes(7), np.int8)
    with h5py.File(path, "a") as file:
        file["video0/video"] = content[None]
        file["video0/frame_numbers"] = [number]
        file["video0/video"].attrs["format"] = encoding
        if order:
            file["video0/video"].attrs["channel_order"] = order
        source = file.create_group("video0/source_video")
        source.attrs["json"] = json.dumps(film("films/day 1.mp4"))
    return path


def test_images_in_a_package_are_extracted_once(tmp_path):
    path = pack(write(tmp_path, [MOUSE], videos=[PACKED], frames=((0, 5),)))
    labels = read(path)
    image = labels.annotations.images[0]
    assert (image.file_name, image.group) == ("day 1/000005.png", "day 1")
    file = labels.folder / image.file_name
    assert cv2.imread(str(file))[BRIGHT_XY[1], BRIGHT_XY[0]].tolist() == [0, 0, 255]
    changed = file.stat().st_mtime_ns
    assert read(path).folder == labels.folder
    assert file.stat().st_mtime_ns == changed
    assert labels.folder.is_relative_to(tmp_path / "cache")


@pytest.mark.parametrize(
    ("format_id", "order", "is_swapped"),
    [(1.4, None, False), (1.3, None, True), (1.4, "BGR", True), (1.3, "RGB", False)],
)
def test_colours_of_old_packages_are_swapped(tmp_path, format_id, order, is_swapped):
    path = pack(write(tmp_path, [MOUSE], videos=[PACKED], frames=((0, 5),), format_id=format_id), order=order)
    access = make_access(tmp_path / "cache")
    swapped = []
    access = replace(access, swap_red_and_blue=lambda content: swapped.append(content) or content)
    read_sleap(path, None, access)
    assert bool(swapped) == is_swapped


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"videos": [film("/gone/film.mp4")]},
            "film '/gone/film.mp4': it is neither there nor in .*Export Labels Package",
        ),
        ({"frames": ((0, 3),)}, "the image sequence has 1 images"),
        ({"videos": [sequence("/gone/c/img7.png")]}, "its size cannot be read"),
        ({"skeletons": [skeleton(nodes=(0, 7))]}, "cannot read"),
        ({"frames": ((7, 0),)}, "cannot read"),
    ],
)
def test_invalid_files_are_refused_in_words(tmp_path, change, message):
    path = write(tmp_path, [MOUSE], **change)
    with pytest.raises(AnnotationError, match=message) as caught:
        read(path)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"number": 4}, "its image is not in the package"),
        ({"encoding": "hdf5"}, "its image is stored without encoding"),
    ],
)
def test_package_without_a_usable_image_is_refused_in_words(tmp_path, options, message):
    path = pack(write(tmp_path, [MOUSE], videos=[PACKED], frames=((0, 5),)), **options)
    with pytest.raises(AnnotationError, match=message):
        read(path)


@pytest.mark.parametrize("content", [b"", b"text", b"\x89HDF\r\n\x1a\n" + bytes(50)])
def test_other_files_are_refused_in_words(tmp_path, content):
    path = tmp_path / "labels.slp"
    path.write_bytes(content)
    with pytest.raises(AnnotationError, match="cannot read"):
        read(path)


def test_hdf5_of_another_program_is_refused_in_words(tmp_path):
    with h5py.File(tmp_path / "labels.slp", "w") as file:
        file["data"] = [1]
    with pytest.raises(AnnotationError, match="cannot read"):
        read(tmp_path / "labels.slp")


@pytest.mark.parametrize("embed", [None, "user"])
def test_files_of_sleap_io(tmp_path, embed):
    sio = pytest.importorskip("sleap_io", reason="the real library of SLEAP's formats is not installed")
    bones = sio.Skeleton(
        ["nose", "tail", "left"], edges=[("nose", "tail")], symmetries=[("tail", "left")], name="mouse"
    )
    videos = [sio.Video.from_filename([str(write_image(tmp_path / name / "img0.png"))]) for name in "ab"]
    points = np.float64([BRIGHT_XY, (30, 25), (NAN, NAN)])
    frames = [
        sio.LabeledFrame(
            video, 0, [sio.Instance.from_numpy(points + index, skeleton=bones),
                       sio.PredictedInstance.from_numpy(points, skeleton=bones, point_scores=np.ones(3), score=0.5)]
        )
        for index, video in enumerate(videos)
    ]  # fmt: skip
    path = tmp_path / ("labels.slp" if embed is None else "labels.pkg.slp")
    sio.Labels(frames).save(str(path), embed=embed, verbose=False)
    labels = read(path)
    x, y = CENTRE_XY
    assert points_of(labels, 0) == {"nose": (x, y, 2), "tail": (30.5, 25.5, 2)}
    assert points_of(labels, 1) == {"nose": (x + 1, y + 1, 2), "tail": (31.5, 26.5, 2)}
    assert labels.annotations.schema.edges == ((0, 1),)
    assert labels.annotations.schema.flip == (0, 2, 1)
    for image in labels.annotations.images:
        assert cv2.imread(str(Path(labels.folder, image.file_name)))[BRIGHT_XY[1], BRIGHT_XY[0]].tolist() == [255] * 3
