"""SLEAP: `.slp` files with references to films and images, and packages (`.pkg.slp`) with the images inside.

(0, 0) is the centre of the first pixel: reading adds half a pixel. Before format 1.1 it was the outer corner.

Source: sleap-io 0.9.5, `sleap_io/io/slp.py`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from e2pose.core.errors import AnnotationError, E2PoseError
from e2pose.core.files import atomic_path
from e2pose.formats.coco_categories import CategoryChoice, list_choices
from e2pose.formats.fields import LARGEST, FieldError
from e2pose.formats.hdf5 import open_hdf5
from e2pose.formats.reading_log import ReadingLog
from e2pose.formats.tool_entries import (
    ImageAccess,
    Instance,
    Keypoints,
    LabelledImage,
    LabelledImages,
    Point,
    frame_name,
    is_file,
    locate,
    read_size,
    to_annotations,
)

if TYPE_CHECKING:
    import h5py

_HINT = "use a file that SLEAP saved, or export it again with File > Export Labels Package"
_USER = 0  # type of instances that were labelled or corrected by hand
_EDGE, _SYMMETRY = 1, 2  # types of the links of a skeleton
_FIRST_CENTRED, _FIRST_RGB = 1.1, 1.4  # formats since which coordinates and colours are stored as today


@dataclass(frozen=True)
class _Video:
    """Where the images of a video are."""

    name: str  # unique in the file
    dataset: str  # of embedded images; empty if there are none
    files: Sequence[str]  # of an image sequence; empty if there is none
    film: str = ""  # the path of a film; empty if there is none


@dataclass(frozen=True)
class _Places:
    """Where image files are."""

    root: Path  # of films and image sequences
    folder: Path  # of the annotations; of copies if there are any
    access: ImageAccess


def read_sleap(path: Path, images: Path | None, access: ImageAccess, category: CategoryChoice = None) -> LabelledImages:
    """Reads the instances labelled by hand in a file of SLEAP.

    Images inside a package and labelled frames of films are copied to `access.cache` once. Predicted instances are
    omitted. The group of an image is its video.

    Args:
        path: The `.slp` file.
        images: Folder of films and the files of image sequences; None for the folder of the file.
        access: Access to the image files.
        category: Name of the skeleton to read, where there are several.

    Raises:
        AnnotationError: The file cannot be read, refers to a film that is missing, or has invalid entries.
        MissingExtraError: h5py is not installed.
    """
    log = ReadingLog(path)
    with open_hdf5(path, _HINT) as file:
        header = json.loads(file["metadata"].attrs["json"])
        skeleton, keypoints = _choose_skeleton(_skeletons(header), category, path)
        videos = _videos(file)
        is_copied = any(video.dataset or video.film for video in videos)
        root = images or path.parent
        places = _Places(root, _cache_folder(path, access.cache) if is_copied else root, access)
        instances = _read_instances(file, skeleton, keypoints.names, log)
        rows = file["frames"][()]
        _extract_films(videos, rows, instances, places, log)
        log.raise_if_invalid()
        found = []
        for row in rows:
            video, frame = videos[_video_index(videos, int(row["video"]))], int(row["frame_idx"])
            where = f"frame {frame} of '{video.name}'"
            labelled = instances.get(int(row["frame_id"]))
            if not labelled:
                log.omit("frames", "they have no instance that was labelled by hand", where)
                continue
            with log.entry(where):
                name = _find_image(file, video, frame, places)
                found.append(LabelledImage(name, read_size(places.folder / name, access.size_of), labelled, video.name))
    return LabelledImages(places.folder, to_annotations(keypoints, found, path, log))


def _skeletons(header: Mapping[str, Any]) -> list[Keypoints]:
    """Returns the skeletons, whose nodes are positions in the nodes of the file."""
    nodes = [str(node["name"]) for node in header["nodes"]]
    skeletons = []
    for position, entry in enumerate(header["skeletons"]):
        record = entry.get("nx_graph", entry)
        pairs: dict[int, list[tuple[str, str]]] = {_EDGE: [], _SYMMETRY: []}
        defined: list[int] = []
        for link in record["links"]:
            kind = _link_type(link["type"], defined)
            pairs.setdefault(kind, []).append((nodes[int(link["source"])], nodes[int(link["target"])]))
        name = record["graph"].get("name") or f"skeleton-{position}"
        names = [nodes[int(node["id"])] for node in record["nodes"]]
        flip_pairs = {frozenset(pair): pair for pair in pairs[_SYMMETRY]}
        skeletons.append(Keypoints(str(name), names, pairs[_EDGE], list(flip_pairs.values())))
    return skeletons


def _link_type(record: Mapping[str, Any], defined: list[int]) -> int:
    """Returns the type of a link, which is defined at its first use and later referred to by number."""
    if "py/reduce" in record:
        kind = int(record["py/reduce"][1]["py/tuple"][0])
        defined.append(kind)
        return kind
    number = int(record["py/id"])
    return defined[number - 1] if 0 < number <= len(defined) else number


def _choose_skeleton(skeletons: Sequence[Keypoints], category: CategoryChoice, path: Path) -> tuple[int, Keypoints]:
    names = [skeleton.category for skeleton in skeletons]
    wanted = names if category is None else [str(one) for one in list_choices(category)]
    if len(wanted) != 1 or wanted[0] not in names:
        shown = ", ".join(f"'{name}'" for name in names)
        raise AnnotationError(
            f"'{path}' has the skeletons {shown}; accepted is one of them",
            'choose one: category = "NAME" of the image set in a recipe, --category on the command line',
        )
    index = names.index(wanted[0])
    return index, skeletons[index]


def _videos(file: h5py.File) -> list[_Video]:
    videos: list[_Video] = []
    for text in file["videos_json"][()]:
        record = json.loads(text)
        backend = record["backend"]
        dataset = backend.get("dataset") if backend.get("filename", record.get("filename")) == "." else None
        source = record.get("source_video", record)
        if dataset and (stored := file.get(f"{dataset.removesuffix('/video')}/source_video")):
            source = json.loads(stored.attrs["json"])
        names = source["backend"].get("filenames") or source.get("filename") or source["backend"].get("filename")
        first = PurePosixPath(str(names[0] if isinstance(names, list) else names).replace("\\", "/"))
        stem = first.parent.name if isinstance(names, list) else first.stem
        stem = stem or "video"
        taken = {video.name for video in videos}
        name = stem if stem not in taken else f"{stem}-{len(videos)}"
        files = [str(one) for one in names] if isinstance(names, list) else []
        videos.append(_Video(name, dataset or "", files, "" if dataset or files else str(names)))
    return videos


def _video_index(videos: Sequence[_Video], stored: int) -> int:
    """Returns the position of a frame's video, which packages store as the number in the name of the dataset."""
    return next((index for index, one in enumerate(videos) if one.dataset == f"video{stored}/video"), stored)


def _read_instances(file: h5py.File, skeleton: int, names: Sequence[str], log: ReadingLog) -> dict[int, list[Instance]]:
    """Returns the instances labelled by hand by the id of their frame."""
    half_pixel = 0.5 if float(file["metadata"].attrs["format_id"]) >= _FIRST_CENTRED else 0.0
    points = file["points"][()]
    instances: dict[int, list[Instance]] = {}
    for row in file["instances"][()]:
        where = f"instance {row['instance_id']}"
        if row["instance_type"] != _USER:
            log.omit("instances", "they are predictions, not labels", where)
        elif row["skeleton"] != skeleton:
            log.omit("instances", "they have another skeleton", where)
        else:
            stored = points[int(row["point_id_start"]) : int(row["point_id_end"])]
            found = [
                Point(name, float(point["x"]) + half_pixel, float(point["y"]) + half_pixel, not point["visible"])
                for name, point in zip(names, stored, strict=True)
                if not np.isnan([point["x"], point["y"]]).any()
            ]
            if any(not max(abs(point.x), abs(point.y)) <= LARGEST for point in found):
                log.invalid(where, "the position of a point must be a number of pixels")
            elif found:
                instances.setdefault(int(row["frame_id"]), []).append(Instance(found, where))
            else:
                log.omit("instances", "no point has a position", where)
    return instances


def _cache_folder(path: Path, cache: Path) -> Path:
    """Returns the folder for the images of this version of a package."""
    state = path.stat()
    identity = f"{path.resolve()}|{state.st_size}|{state.st_mtime_ns}"
    return cache / f"{path.name.partition('.')[0]}-{hashlib.sha256(identity.encode()).hexdigest()[:16]}"


def _extract_films(
    videos: Sequence[_Video], rows: np.ndarray, labelled: Collection[int], places: _Places, log: ReadingLog
) -> None:
    """Copies the labelled frames of films, which are at their stored path or in the root."""
    wanted: dict[int, list[int]] = {}
    for row in rows:
        if int(row["frame_id"]) in labelled:
            wanted.setdefault(_video_index(videos, int(row["video"])), []).append(int(row["frame_idx"]))
    for index, frames in wanted.items():
        video = videos[index]
        if not video.film:
            continue
        with log.entry(f"film '{video.film}'"):
            film = Path(video.film) if is_file(Path(video.film)) else places.root / locate(video.film, places.root)
            if not is_file(film):
                raise FieldError(
                    f"it is neither there nor in '{places.root}'; put it there, or export the labels with their images "
                    "from SLEAP (File > Export Labels Package)"
                )
            try:
                places.access.extract_frames(film, frames, places.folder / video.name)
            except E2PoseError as error:
                raise FieldError(error.message) from error


def _find_image(file: h5py.File, video: _Video, frame: int, places: _Places) -> str:
    """Returns the name of the image file of a frame; images in the file are first copied to the folder."""
    if video.dataset:
        return _extract(file, video, frame, places)
    if video.film:
        return f"{video.name}/{frame_name(frame)}"
    if frame >= len(video.files):
        raise FieldError(f"the image sequence has {len(video.files)} images")
    name = locate(video.files[frame], places.root)
    return name if places.folder == places.root else (places.root.absolute() / name).as_posix()


def _extract(file: h5py.File, video: _Video, frame: int, places: _Places) -> str:
    dataset = file[video.dataset]
    numbers = file.get(f"{video.dataset.removesuffix('/video')}/frame_numbers")
    position = frame if numbers is None else next(iter(np.flatnonzero(numbers[()] == frame)), None)
    if position is None or not position < len(dataset):
        raise FieldError("its image is not in the package; export the package again with this frame")
    encoding = str(dataset.attrs.get("format", "hdf5"))
    if encoding == "hdf5":
        raise FieldError("its image is stored without encoding, which is not supported; export the package again")
    default = "RGB" if float(file["metadata"].attrs["format_id"]) >= _FIRST_RGB else "BGR"
    is_swapped = dataset.attrs.get("channel_order", default) == "BGR" and dataset.attrs.get("channels", 3) == 3
    name = f"{video.name}/{frame:06d}.{'png' if is_swapped else encoding}"
    if not is_file(places.folder / name):
        content = np.asarray(dataset[position]).tobytes().rstrip(b"\0")
        with atomic_path(places.folder / name) as temporary:
            temporary.write_bytes(places.access.swap_red_and_blue(content) if is_swapped else content)
    return name
