"""JSON exports of Label Studio."""

import json

import pytest

from e2pose.core.errors import AnnotationError
from e2pose.formats.label_studio import read_label_studio
from helpers.tool_labels import CENTRE_XY, SIZE_HW, make_access, points_of, write_image

HEIGHT, WIDTH = SIZE_HW
SIZE = {"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0}


def point(name, x, y, **fields):
    """A point at a position in pixels."""
    value = {"x": 100 * x / WIDTH, "y": 100 * y / HEIGHT, "width": 0.5, "keypointlabels": [name]}
    return {"id": f"{name}-{x}", "type": "keypointlabels", "value": value, **SIZE, **fields}


def rectangle(name, x, y, width, height, **value):
    value = {
        "x": 100 * x / WIDTH,
        "y": 100 * y / HEIGHT,
        "width": 100 * width / WIDTH,
        "height": 100 * height / HEIGHT,
    } | value
    return {"id": name, "type": "rectanglelabels", "value": {"rectanglelabels": ["mouse"], **value}, **SIZE}


def task(*results, image="/data/upload/1/0a1b2c3d-img0.png", **fields):
    return {
        "id": 7,
        "data": {"image": image},
        "annotations": [{"result": list(results), "was_cancelled": False}],
        **fields,
    }


def read(folder, *tasks, images=("0a1b2c3d-img0.png",)):
    for name in images:
        write_image(folder / "images" / name)
    path = folder / "export.json"
    path.write_text(json.dumps(list(tasks)), encoding="utf-8")
    return read_label_studio(path, None, make_access())


def test_point_lands_where_the_tool_draws_it(tmp_path):
    """Label Studio draws 0 % at the left border of the image and 100 % at the right one."""
    labels = read(tmp_path, task(point("nose", *CENTRE_XY), point("tail", 60, 40)))
    assert points_of(labels) == {"nose": (*CENTRE_XY, 2), "tail": (60, 40, 2)}
    image = labels.annotations.images[0]
    assert (image.file_name, image.size_hw) == ("images/0a1b2c3d-img0.png", SIZE_HW)


def relate(start, end):
    return [{"type": "relation", "from_id": one[start], "to_id": one[end]} for one in with_parents()]


PAIR = [point("nose", 5, 5), point("tail", 9, 9), point("nose", 35, 5), point("tail", 39, 9)]
LEFT, RIGHT = rectangle("left", 2, 2, 10, 10), rectangle("right", 32, 2, 10, 10)


def with_parents():
    return [{**one, "parentID": side} for one, side in zip(PAIR, ["left", "left", "right", "right"], strict=True)]


@pytest.mark.parametrize(
    "results",
    [
        [*PAIR, LEFT, RIGHT],
        [rectangle("left", 0, 0, 60, 40), rectangle("right", 0, 0, 60, 40), *with_parents()],
        [*PAIR, rectangle("outer", 0, 0, 45, 40), RIGHT],
        [*PAIR, LEFT, RIGHT, *relate("id", "parentID")],
        [*PAIR, LEFT, RIGHT, *relate("parentID", "id")],
    ],
    ids=["rectangle around", "parents", "smallest rectangle", "relations", "relations from the rectangle"],
)  # fmt: skip
def test_points_of_two_animals_are_separated(tmp_path, results):
    labels = read(tmp_path, task(*results))
    found = [points_of(labels, person=person) for person in (0, 1)]
    assert sorted(one["nose"][0] for one in found) == [5, 35]
    assert sorted(one["tail"][0] for one in found) == [9, 39]
    assert all(abs(one["nose"][0] - one["tail"][0]) == 4 for one in found)


def test_rectangle_is_the_box(tmp_path):
    labels = read(tmp_path, task(point("nose", 5, 5), LEFT))
    assert labels.annotations.images[0].persons[0].box == pytest.approx((2, 2, 10, 10))


@pytest.mark.parametrize(
    ("address", "file"),
    [
        ("/data/upload/1/0a1b2c3d-img0.png", "img0.png"),
        ("/data/local-files/?d=films/left/img0.png", "films/left/img0.png"),
        ("s3://bucket/left/img0.png", "left/img0.png"),
        ("https://example.org/a%20b/img0.png?key=1", "a b/img0.png"),
        ("/data/upload/1/img0.png", "elsewhere.png"),
    ],
)
def test_image_of_an_address_is_found(tmp_path, address, file):
    labels = read(tmp_path, task(point("nose", 5, 5), LEFT, image=address), images=(file,))
    name = labels.annotations.images[0].file_name
    assert (name == f"images/{file}") == (labels.folder / name).is_file() == (file != "elsewhere.png")


def test_latest_annotation_is_read_and_unlabelled_tasks_are_omitted(tmp_path):
    annotations = [
        {
            "result": [point("nose", x, 5), point("tail", 9, 9)],
            "updated_at": f"2026-01-0{day}",
            "was_cancelled": day == 3,
        }
        for x, day in ((1, 1), (2, 2), (3, 3))
    ]
    first = {"id": 1, "data": {"image": "a.png"}, "annotations": annotations, "predictions": [{"result": []}]}
    empty = {"id": 2, "data": {"image": "b.png"}, "annotations": []}
    nothing = {"id": 3, "data": {"image": "c.png"}, "annotations": [{"result": []}]}
    labels = read(tmp_path, first, empty, nothing, images=("a.png", "b.png", "c.png"))
    assert points_of(labels)["nose"] == (2, 5, 2)
    assert [len(image.persons) for image in labels.annotations.images] == [1, 0]
    assert [(one.what, one.count) for one in labels.annotations.omitted] == [("predictions", 1), ("tasks", 1)]
    assert "there are several annotations, of which the latest is read (1 task)" in labels.annotations.notes


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ([task(*PAIR)], "the image has several points 'nose', .*; make each point a child of a rectangle"),
        ([task(rectangle("a", 1, 1, 5, 5, rotation=30))], "rectangle a is rotated"),
        ([task({**PAIR[0], "image_rotation": 90})], "the image is rotated"),
        ([task(PAIR[0], {**PAIR[1], "original_width": 9})], "different sizes"),
        ([task({**PAIR[0], "value": {"x": "left", "y": 1, "keypointlabels": ["a"]}})], "'x' must be a number"),
        ([task({**PAIR[0], "value": {"x": 1, "y": 1, "keypointlabels": []}})], "must have one label"),
        ([task({**PAIR[0], "value": None})], "must have the mapping 'value'"),
        ([{"image": "a.png", "kp-1": []}], "not as JSON-MIN"),
        ([{"data": {"image": "a.png"}}], "must have the list 'annotations'"),
        ([task(*PAIR[:2], image="x"), task(*PAIR[:2], image="x")], "another image has the same file"),
        ([task(image="img0.png"), 3], "task at position 1: it must have the field 'data'"),
        ([task()], "no labelled keypoint"),
    ],
)
def test_invalid_tasks_are_refused_in_words(tmp_path, tasks, message):
    with pytest.raises(AnnotationError, match=message) as caught:
        read(tmp_path, *tasks)
    assert caught.value.hint


def test_export_of_sleap_io(tmp_path):
    """sleap-io writes rectangles around the whole image, and relations from points to them."""
    sio = pytest.importorskip("sleap_io", reason="the real library of SLEAP's formats is not installed")
    skeleton = sio.Skeleton(["nose", "tail"])
    video = sio.Video(filename=str(write_image(tmp_path / "images/img0.png")))
    video.backend_metadata["shape"] = (1, *SIZE_HW, 3)
    instances = [sio.Instance.from_numpy([[x, 5.0], [x + 4, 9.0]], skeleton=skeleton) for x in (5.0, 35.0)]
    sio.save_labelstudio(sio.Labels([sio.LabeledFrame(video, 0, instances)]), str(tmp_path / "a.json"))
    tasks = json.loads((tmp_path / "a.json").read_text())
    tasks[0]["data"]["image"] = "img0.png"
    labels = read(tmp_path, *tasks)
    assert [points_of(labels, person=one)["tail"] for one in (0, 1)] == [(9, 9, 2), (39, 9, 2)]
