"""CVAT: the exports "CVAT for images 1.1" and "CVAT for video 1.1", with skeletons or single points.

CVAT draws on a canvas of the image's size where (0, 0) is the outer corner of the first pixel: nothing is added.

Source: docs.cvat.ai, "CVAT for image" and "CVAT for video"; github.com/cvat-ai/cvat/issues/9973 for the origin.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

from e2pose.core.errors import AnnotationError
from e2pose.core.files import read_text, reason_of
from e2pose.formats.coco_categories import CategoryChoice, list_choices
from e2pose.formats.fields import FieldError, show, to_integer, to_number
from e2pose.formats.reading_log import ReadingLog
from e2pose.formats.tool_entries import (
    BoxLabel,
    Instance,
    Keypoints,
    LabelledImage,
    LabelledImages,
    Point,
    group_points,
    is_file,
    locate,
    to_annotations,
)

_HINT = 'export the task from CVAT as "CVAT for images 1.1" or "CVAT for video 1.1"'
_ADVICE = "label with skeletons, give the points of an instance the same group, or draw a box around each instance"
_Element = ElementTree.Element


@dataclass(frozen=True)
class _Shapes:
    """The shapes of one image, and what must be known to read them."""

    elements: Sequence[tuple[_Element, str]]  # with the label of each
    category: str | None  # the skeleton to read


def read_cvat(path: Path, images: Path | None, category: CategoryChoice = None) -> LabelledImages:
    """Reads an export of CVAT.

    A skeleton is an instance. Its points are not labelled if they are "outside", and hidden if they are "occluded".
    Without skeletons, single points are read, which belong together by their group or a box. Of videos, frames with at
    least one keyframe are read; frames in which all shapes are interpolated are omitted. The group of an image is its
    folder, or else its task or video.

    Args:
        path: The XML file.
        images: Folder of the image files; None for `images` beside the file, or its own folder.
        category: Name of the skeleton to read, where there are several.

    Raises:
        AnnotationError: The file cannot be read or has invalid entries; the message lists the first of them.
    """
    root = _parse(path)
    folder = images or path.parent
    log = ReadingLog(path)
    skeletons = _skeletons(root)
    keypoints = _choose(skeletons, category, path)
    name = keypoints.category if skeletons else None
    found = [*_read_images(root, folder, name, log), *_read_tracks(root, folder, name, log, path)]
    return LabelledImages(folder, to_annotations(keypoints, found, path, log))


def _parse(path: Path) -> _Element:
    try:
        root = ElementTree.fromstring(read_text(path))
    except (OSError, ValueError, ElementTree.ParseError) as error:
        reason = reason_of(error)
        raise AnnotationError(f"cannot read '{path}': {reason}", _HINT) from error
    if root.tag != "annotations":
        raise AnnotationError(f"'{path}' is not an export of CVAT: its root is '{root.tag}', not 'annotations'", _HINT)
    return root


def _skeletons(root: _Element) -> dict[str, Keypoints]:
    """Returns the skeletons that the labels of the task define, by name."""
    labels = [label for labels in root.iter("labels") for label in labels.findall("label")]
    skeletons = {}
    for label in labels:
        if label.findtext("type") != "skeleton":
            continue
        name = label.findtext("name", "")
        names = [part.findtext("name", "") for part in labels if part.findtext("parent") == name]
        skeletons[name] = Keypoints(name, list(dict.fromkeys(names)), list(_edges(label.findtext("svg", ""))))
    return skeletons


def _edges(svg: str) -> Iterator[tuple[str, str]]:
    """Returns the edges of a skeleton from its drawing."""
    elements = [dict(re.findall(r'([\w-]+)="([^"]*)"', tag)) for tag in re.findall(r"<[^>]*>", svg)]
    names = {
        one["data-node-id"]: one["data-label-name"]
        for one in elements
        if {"data-node-id", "data-label-name"} <= one.keys()
    }
    for one in elements:
        ends = one.get("data-node-from"), one.get("data-node-to")
        if ends[0] in names and ends[1] in names:
            yield names[str(ends[0])], names[str(ends[1])]


def _choose(skeletons: dict[str, Keypoints], category: CategoryChoice, path: Path) -> Keypoints:
    if not skeletons:
        return Keypoints("cvat")
    names = ", ".join(f"'{name}'" for name in skeletons)
    wanted = list(skeletons) if category is None else [str(one) for one in list_choices(category)]
    if len(wanted) != 1:
        raise AnnotationError(
            f"'{path}' has {len(skeletons)} skeletons: {names}; accepted is one",
            'choose one: category = "NAME" of the image set in a recipe, --category on the command line',
        )
    if wanted[0] not in skeletons:
        raise AnnotationError(f"'{path}' has no skeleton '{wanted[0]}'; there are: {names}", "use one of these names")
    return skeletons[wanted[0]]


def _read_images(root: _Element, folder: Path, category: str | None, log: ReadingLog) -> Iterator[LabelledImage]:
    tasks = {task.findtext("id"): task.findtext("name", "") for task in root.iter("task")}
    only_task = next(iter(tasks.values()), "")
    for element in root.findall("image"):
        stored = element.get("name", "")
        with log.entry(f"image {show(stored)}"):
            if not stored:
                raise FieldError("its name is missing")
            size_hw = to_integer(element.get("height"), "height"), to_integer(element.get("width"), "width")
            shapes = _Shapes([(shape, shape.get("label", "")) for shape in element], category)
            instances = _read_shapes(shapes, log, f"image {show(stored)}")
            parent = PurePosixPath(stored.replace("\\", "/")).parent.as_posix()
            group = parent if parent != "." else tasks.get(element.get("task_id"), only_task)
            subset = element.get("subset")
            name = locate(f"{subset}/{stored}" if subset else stored, folder)
            yield LabelledImage(name, size_hw, instances, group)


def _read_tracks(
    root: _Element, folder: Path, category: str | None, log: ReadingLog, path: Path
) -> Iterator[LabelledImage]:
    """Yields the frames of a video in which a shape is labelled by hand."""
    tracks = root.findall("track")
    if not tracks:
        return
    size = root.find(".//original_size")
    if size is None:
        raise AnnotationError(f"'{path}' has tracks, but no size of the video ('original_size')", _HINT)
    size_hw = to_integer(size.findtext("height"), "height"), to_integer(size.findtext("width"), "width")
    frames: dict[int, list[tuple[_Element, str]]] = {}
    keyframes = set()
    for track in tracks:
        for shape in track:
            with log.entry(f"track {track.get('id')}"):
                frame = to_integer(shape.get("frame"), "frame")
                frames.setdefault(frame, []).append((shape, track.get("label", "")))
                if any(part.get("keyframe") == "1" for part in shape.iter()):
                    keyframes.add(frame)
    group = root.findtext(".//source") or root.findtext(".//task/name") or ""
    for frame, elements in sorted(frames.items()):
        where = f"frame {frame}"
        if frame not in keyframes:
            log.omit("frames", "all shapes are interpolated", where)
            continue
        with log.entry(where):
            instances = _read_shapes(_Shapes(elements, category), log, where)
            name = _find_frame(frame, folder)
            yield LabelledImage(name, size_hw, instances, group)


def _find_frame(frame: int, folder: Path) -> str:
    """Returns the name of the image file of a frame, as CVAT exports it with images."""
    names = [locate(f"images/frame_{frame:06d}{suffix}", folder) for suffix in (".PNG", ".png", ".jpg")]
    found = next((name for name in names if is_file(folder / name)), None)
    if found is None:
        raise FieldError(f"there is no image '{names[0]}' in '{folder}'; export the task with \"Save images\"")
    return found


def _read_shapes(shapes: _Shapes, log: ReadingLog, where: str) -> list[Instance]:
    """Returns the instances of an image."""
    instances: list[Instance] = []
    points: list[Point] = []
    boxes: list[BoxLabel] = []
    for shape, label in shapes.elements:
        if shape.get("outside") == "1" or shape.tag == "tag":
            continue
        group = "" if shape.get("group_id", "0") == "0" else shape.get("group_id", "")
        if shape.tag == "skeleton" and shapes.category == label:
            parts = [part for part in shape.findall("points") if part.get("outside") != "1"]
            found = [_read_point(part, part.get("label", ""), "") for part in parts]
            instances.append(Instance(found, f"skeleton {len(instances) + 1}"))
        elif shape.tag == "points" and shapes.category is None:
            points.append(_read_point(shape, label, group))
        elif shape.tag == "box" and shapes.category is None:
            left, top, right, bottom = (to_number(shape.get(side), side) for side in ("xtl", "ytl", "xbr", "ybr"))
            boxes.append(BoxLabel((left, top, right - left, bottom - top), group))
        else:
            log.omit("shapes", f"'{shape.tag}' with the label '{label}' is not read", where)
    return [*instances, *group_points(points, boxes, _ADVICE)]


def _read_point(element: _Element, name: str, group: str) -> Point:
    text = element.get("points", "")
    coordinates = text.split(";")
    if len(coordinates) != 1 or text.count(",") != 1:
        reason = f"'{name}' has {len(coordinates)} points: {show(text)}; accepted is one as x,y"
        raise FieldError(f"{reason}; label with skeletons, or with one point per label")
    x, y = (to_number(number, name) for number in text.split(","))
    return Point(name, x, y, element.get("occluded") == "1", group)
