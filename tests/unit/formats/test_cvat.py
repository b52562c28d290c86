"""XML exports of CVAT."""

import pytest

from e2pose.core.errors import AnnotationError
from e2pose.formats.cvat import read_cvat
from helpers.tool_labels import CENTRE_XY, SIZE_HW, points_of, write_image

X, Y = CENTRE_XY
SVG = (
    '&lt;line x1="1" data-type="edge" data-node-from="1" data-node-to="2"&gt;&lt;/line&gt;'
    '&lt;circle data-type="element node" data-element-id="1" data-node-id="1" data-label-name="nose"&gt;&lt;/circle&gt;'
    '&lt;circle data-type="element node" data-element-id="2" data-node-id="2" data-label-name="tail"&gt;&lt;/circle&gt;'
)


def labels_of(*skeletons, svg=SVG):
    parts = "".join(
        f"<label><name>{name}</name><type>skeleton</type><svg>{svg}</svg></label>"
        f"<label><name>nose</name><type>points</type><parent>{name}</parent></label>"
        f"<label><name>tail</name><type>points</type><parent>{name}</parent></label>"
        for name in skeletons
    )
    return f"<labels>{parts}</labels>"


def skeleton(nose, tail, label="mouse", *, nose_fields="", tail_fields="", fields=""):
    points = "".join(
        f'<points label="{name}" source="manual" outside="0" occluded="0" points="{x},{y}"/>'.replace(
            'outside="0" occluded="0"', extra or 'outside="0" occluded="0"'
        )
        for name, (x, y), extra in (("nose", nose, nose_fields), ("tail", tail, tail_fields))
    )
    return f'<skeleton label="{label}" source="manual" z_order="0" {fields}>{points}</skeleton>'


def image(*shapes, name="img0.png", number=0):
    return f'<image id="{number}" name="{name}" width="{SIZE_HW[1]}" height="{SIZE_HW[0]}">{"".join(shapes)}</image>'


def read(folder, *elements, meta=None, category=None, files=("img0.png",), task="films"):
    for name in files:
        write_image(folder / "images" / name)
    meta = labels_of("mouse") if meta is None else meta
    path = folder / "annotations.xml"
    head = f"<version>1.1</version><meta><task><id>4</id><name>{task}</name>{meta}</task></meta>"
    path.write_text(f'<?xml version="1.0"?><annotations>{head}{"".join(elements)}</annotations>', encoding="utf-8")
    return read_cvat(path, None, category)


def test_point_lands_where_the_tool_draws_it(tmp_path):
    """CVAT draws (0, 0) at the corner of the image."""
    labels = read(tmp_path, image(skeleton(CENTRE_XY, (30, 25))))
    assert points_of(labels) == {"nose": (*CENTRE_XY, 2), "tail": (30, 25, 2)}
    found = labels.annotations.images[0]
    assert (found.file_name, found.size_hw, found.group) == ("images/img0.png", SIZE_HW, "films")
    assert labels.annotations.schema.name == "mouse"
    assert labels.annotations.schema.edges == ((0, 1),)


def test_outside_points_are_not_labelled_and_occluded_points_are_hidden(tmp_path):
    shapes = (
        skeleton((1, 2), (3, 4), tail_fields='outside="0" occluded="1"'),
        skeleton((5, 6), (7, 8), nose_fields='outside="1" occluded="0"'),
    )
    labels = read(tmp_path, image(*shapes))
    assert points_of(labels) == {"nose": (1, 2, 2), "tail": (3, 4, 1)}
    assert len(labels.annotations.images[0].persons) == 1
    assert [one.what for one in labels.annotations.omitted] == ["instances"]


def test_images_without_shapes_and_equal_names(tmp_path):
    images = [image(skeleton((1, 2), (3, 4)), name="left/img0.png"), image(name="right/img0.png", number=1)]
    found = read(tmp_path, *images, files=("left/img0.png", "right/img0.png")).annotations.images
    assert [(one.file_name, one.group, len(one.persons)) for one in found] == [
        ("images/left/img0.png", "left", 1),
        ("images/right/img0.png", "right", 0),
    ]


def test_one_of_several_skeletons_is_chosen(tmp_path):
    shapes = image(skeleton((1, 2), (3, 4)), skeleton((5, 6), (7, 8), "rat"))
    with pytest.raises(AnnotationError, match="2 skeletons: 'mouse', 'rat'") as caught:
        read(tmp_path, shapes, meta=labels_of("mouse", "rat"))
    assert "category" in caught.value.hint
    labels = read(tmp_path, shapes, meta=labels_of("mouse", "rat"), category="rat")
    assert points_of(labels)["nose"] == (5, 6, 2)
    with pytest.raises(AnnotationError, match="no skeleton 'cat'"):
        read(tmp_path, shapes, category="cat")


def single(label, x, y, **fields):
    text = "".join(f' {name}="{value}"' for name, value in fields.items())
    return f'<points label="{label}" occluded="0" points="{x},{y}"{text}/>'


def test_single_points_belong_together_by_group_or_box(tmp_path):
    shapes = [
        single("nose", 1, 2, group_id=1), single("tail", 3, 4, group_id=1),
        single("nose", 35, 5), single("tail", 39, 9),
        '<box label="mouse" xtl="32" ytl="2" xbr="42" ybr="12" occluded="0"/>',
    ]  # fmt: skip
    labels = read(tmp_path, image(*shapes), meta="")
    assert sorted(points_of(labels, person=one)["tail"] for one in (0, 1)) == [(3, 4, 2), (39, 9, 2)]
    assert (32, 2, 10, 10) in [person.box for person in labels.annotations.images[0].persons]


def track(*frames, label="mouse", number=0):
    return f'<track id="{number}" label="{label}" source="manual">{"".join(frames)}</track>'


SIZE = (
    f"<original_size><width>{SIZE_HW[1]}</width><height>{SIZE_HW[0]}</height></original_size><source>film.mp4</source>"
)


def test_frames_with_a_keyframe_are_read(tmp_path):
    first = track(
        *(skeleton((frame, 2), (3, 4), fields=f'frame="{frame}" keyframe="{int(frame != 1)}"') for frame in range(3))
    )
    second = track(
        *(skeleton((9, 9), (12, 14), fields=f'frame="{frame}" keyframe="{int(frame == 0)}"') for frame in range(2)),
        number=1,
    )
    files = [f"frame_{frame:06d}.PNG" for frame in (0, 2)]
    labels = read(tmp_path, first, second, meta=labels_of("mouse") + SIZE, files=files)
    found = labels.annotations.images
    assert [(one.file_name, len(one.persons), one.group) for one in found] == [
        ("images/frame_000000.PNG", 2, "film.mp4"),
        ("images/frame_000002.PNG", 1, "film.mp4"),
    ]
    assert points_of(labels, 1)["nose"] == (2, 2, 2)
    assert [str(one) for one in labels.annotations.omitted] == [
        "omitted 1 frame: all shapes are interpolated (for example frame 1)"
    ]


def test_video_exported_without_images_names_the_step(tmp_path):
    shapes = track(skeleton((1, 2), (3, 4), fields='frame="0" keyframe="1"'))
    with pytest.raises(AnnotationError, match="Save images"):
        read(tmp_path, shapes, meta=labels_of("mouse") + SIZE)


@pytest.mark.parametrize(
    ("elements", "message"),
    [
        ([image(skeleton(("a", 2), (3, 4)))], "'nose' must be a number"),
        (
            [image(skeleton((1, 2), (3, 4))).replace("nose", "beak", 1)],
            "'beak' is not a keypoint; there are: nose, tail",
        ),
        ([image(skeleton((1, 2), (3, 4))).replace('"1,2"', '"1,2;3,4"')], "'nose' has 2 points"),
        ([image(skeleton((1, 2), (3, 4))).replace("60", "wide")], "'width' must be a number"),
        ([image(), image(number=1)], "another image has the same file"),
        ([track(skeleton((1, 2), (3, 4), fields='frame="0" keyframe="1"'))], "no size of the video"),
        (["</nothing>"], "cannot read"),
    ],
)
def test_invalid_exports_are_refused_in_words(tmp_path, elements, message):
    with pytest.raises(AnnotationError, match=message) as caught:
        read(tmp_path, *elements)
    assert caught.value.hint


@pytest.mark.parametrize("text", ["", "<annotation/>", "<html></html>"])
def test_other_xml_is_refused_in_words(tmp_path, text):
    path = tmp_path / "annotations.xml"
    path.write_text(text)
    with pytest.raises(AnnotationError) as caught:
        read_cvat(path, None)
    assert "CVAT for images" in caught.value.hint
