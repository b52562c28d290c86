"""Randomly changed labels of annotation tools give annotations, or an error in words with a hint."""

import json
import tempfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from e2pose.core.errors import AnnotationError, OptionError
from e2pose.formats.cvat import read_cvat
from e2pose.formats.deeplabcut import read_deeplabcut
from e2pose.formats.detect import find_labels
from e2pose.formats.label_studio import read_label_studio
from e2pose.formats.labelme import read_labelme
from e2pose.formats.sleap import read_sleap
from helpers.mutations import RAW_WORDS, few_examples, mutated_records, mutated_texts
from helpers.tool_labels import make_access, write_image

SIZE = {"original_width": 60, "original_height": 40, "image_rotation": 0}
NOSE = {"id": "a", "type": "keypointlabels", "value": {"x": 5, "y": 5, "keypointlabels": ["nose"]}, **SIZE}
EAR = {"id": "b", "type": "keypointlabels", "parentID": "c", "value": {"x": 9, "y": 9, "keypointlabels": ["ear"]}}
BOX = {"id": "c", "type": "rectanglelabels", "value": {"x": 1, "y": 1, "width": 20, "height": 20, "rotation": 0}}
RELATION = {"type": "relation", "from_id": "a", "to_id": "c"}
LABEL_STUDIO = [
    {
        "id": 1,
        "data": {"image": "/data/local-files/?d=img0.png"},
        "predictions": [],
        "annotations": [
            {"was_cancelled": False, "updated_at": "2026-01-01", "result": [NOSE, EAR, BOX, RELATION]},
        ],
    }
]
LABELME = {
    "version": "5",
    "imagePath": "img0.png",
    "imageHeight": 40,
    "imageWidth": 60,
    "shapes": [
        {"label": "nose", "points": [[5, 5]], "shape_type": "point", "group_id": 1, "flags": {"occluded": True}},
        {"label": "ear", "points": [[9, 8]], "shape_type": "point", "group_id": 1},
        {"label": "mouse", "points": [[1, 1], [9, 9]], "shape_type": "rectangle", "group_id": None},
    ],
}
CVAT = """<annotations>
<meta><task><id>1</id><name>t</name><original_size><width>60</width><height>40</height></original_size><labels>
<label><name>mouse</name><type>skeleton</type><svg>&lt;line data-node-from="1" data-node-to="2"/&gt;</svg></label>
<label><name>nose</name><type>points</type><parent>mouse</parent></label>
<label><name>ear</name><type>points</type><parent>mouse</parent></label></labels></task></meta>
<image id="0" name="img0.png" width="60" height="40">
<skeleton label="mouse"><points label="nose" outside="0" occluded="1" points="5,5"/>
<points label="ear" outside="0" occluded="0" points="9,8.5"/></skeleton>
<box label="x" xtl="1" ytl="1" xbr="5" ybr="5"/></image>
<track id="0" label="mouse"><skeleton frame="0" keyframe="1"><points label="nose" points="1,2"/></skeleton></track>
</annotations>"""
CONFIG = {
    "Task": "t",
    "scorer": "me",
    "bodyparts": ["nose", "ear"],
    "skeleton": [["nose", "ear"]],
    "individuals": ["a"],
}
TABLE = (
    "scorer,me,me,me,me\nindividuals,a,a,a,a\nbodyparts,nose,nose,ear,ear\ncoords,x,y,x,y\n"
    "labeled-data/film/img0.png,1,2,3,4.5\nlabeled-data/film/img1.png,,,nan,nan\n"
)
SKELETON = {
    "skeletons": [
        {
            "graph": {"name": "mouse"},
            "nodes": [{"id": 0}, {"id": 1}],
            "links": [{"source": 0, "target": 1, "type": {"py/reduce": [{}, {"py/tuple": [1]}]}},
                      {"source": 0, "target": 1, "type": {"py/id": 1}}],
        }
    ],
    "nodes": [{"name": "nose"}, {"name": "ear"}],
}  # fmt: skip
VIDEOS = [
    {"filename": ["img0.png"], "backend": {"type": "ImageVideo", "filename": "img0.png", "filenames": ["img0.png"]}}
]

pytestmark = pytest.mark.usefixtures("unchecked")


@pytest.fixture(scope="module")
def folder():
    """A folder for all examples of a test: only the files of the last one are kept."""
    with tempfile.TemporaryDirectory() as name:
        for file in ("img0.png", "labeled-data/film/img0.png", "labeled-data/film/img1.png", "images/frame_000000.png"):
            write_image(Path(name) / file)
        yield Path(name)


def check(function, *arguments):
    """Calls a reader; it returns annotations with their guarantees or raises an error in words with a hint."""
    try:
        annotations = function(*arguments).annotations
    except (AnnotationError, OptionError) as error:
        assert error.hint
        assert not any(word in error.message for word in RAW_WORDS), error.message
        assert "\n" not in error.message
        return
    names = [image.file_name for image in annotations.images]
    assert len(set(names)) == len(names)
    for image in annotations.images:
        assert min(image.size_hw) > 0
        assert isinstance(image.group, str)
        for person in image.persons:
            assert np.isfinite([*person.box, person.area]).all()
            assert min(*person.box[2:], person.area) >= 0
            assert np.isfinite(person.keypoints).all()
            assert person.keypoints.shape == (len(annotations.schema), 2)


def write(path, content):
    path.write_bytes(content.encode("utf-8", "surrogatepass"))
    find_labels(path)
    return path


@few_examples
@given(content=st.one_of(mutated_records(LABEL_STUDIO).map(json.dumps), mutated_texts(json.dumps(LABEL_STUDIO))))
def test_label_studio(folder, content):
    check(read_label_studio, write(folder / "export.json", content), None, make_access())


@few_examples
@given(content=st.one_of(mutated_records(LABELME).map(json.dumps), mutated_texts(json.dumps(LABELME))))
def test_labelme(folder, content):
    check(read_labelme, write(folder / "img0.json", content), None, make_access())


@few_examples
@given(content=mutated_texts(CVAT))
def test_cvat(folder, content):
    check(read_cvat, write(folder / "annotations.xml", content), None)


@few_examples
@given(config=mutated_records(CONFIG).map(yaml.safe_dump), table=mutated_texts(TABLE))
def test_deeplabcut(folder, config, table):
    write(folder / "labeled-data/film/CollectedData_me.csv", table)
    check(read_deeplabcut, write(folder / "config.yaml", config), make_access())
    check(read_deeplabcut, folder / "labeled-data/film/CollectedData_me.csv", make_access())


numbers = st.sampled_from([0, 1, 2, 7, 255])
INSTANCE = ("instance_id", "instance_type", "frame_id", "skeleton", "point_id_start", "point_id_end")
FRAME = ("frame_id", "video", "frame_idx")
VALID = {"header": SKELETON, "videos": VIDEOS, "instance": (0, 0, 0, 0, 0, 2), "frame": (0, 0, 0), "x": 1.0}


def write_sleap(path, *, header, videos, instance, frame, x, missing=""):
    with h5py.File(path, "w") as file:
        group = file.create_group("metadata")
        group.attrs["format_id"], group.attrs["json"] = 1.4, np.bytes_(json.dumps(header).encode())
        points = [(x, 2, True), (9, 9, False)]
        data = {
            "points": np.array(points, [("x", "f8"), ("y", "f8"), ("visible", "?")]),
            "instances": np.array([instance], [(name, "u8") for name in INSTANCE]),
            "frames": np.array([frame], [(name, "u8") for name in FRAME]),
        }
        for name, values in data.items():
            if name != missing:
                file[name] = values
        file.create_dataset("videos_json", data=[json.dumps(video) for video in videos], dtype=h5py.string_dtype())
    return path


changes = st.one_of(
    st.fixed_dictionaries({"header": mutated_records(SKELETON)}),
    st.fixed_dictionaries({"videos": mutated_records(VIDEOS)}),
    st.fixed_dictionaries({"instance": st.tuples(*[numbers] * len(INSTANCE))}),
    st.fixed_dictionaries({"frame": st.tuples(*[numbers] * len(FRAME))}),
    st.fixed_dictionaries({"x": st.sampled_from([1e300, -5.0, float("inf"), float("nan")])}),
    st.fixed_dictionaries({"missing": st.sampled_from(["points", "frames", "instances"])}),
)


@few_examples
@given(change=changes)
def test_sleap(folder, change):
    path = write_sleap(folder / "labels.slp", **{**VALID, **change})
    check(read_sleap, path, None, make_access(folder / "cache"))


@few_examples
@given(places=st.lists(st.tuples(st.integers(0, 20_000), st.integers(0, 255)), min_size=1, max_size=20))
def test_bytes_of_sleap(folder, places):
    """h5py reports damaged files in many ways."""
    path = write_sleap(folder / "labels.slp", **VALID)
    content = bytearray(path.read_bytes())
    for place, value in places:
        content[place % len(content)] = value
    path.write_bytes(content)
    check(read_sleap, path, None, make_access(folder / "cache"))
