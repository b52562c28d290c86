"""Poses as a file of SLEAP: the inverse of `sleap.py`, with predicted instances.

SLEAP shows predicted instances beside the labels; a double click turns one into an instance to correct.

Source: sleap-io 0.9.5, `sleap_io/io/slp.py`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from e2pose.core.errors import MissingExtraError
from e2pose.core.poses import NO_TRACK
from e2pose.core.schema import KeypointSchema
from e2pose.formats.tool_results import PoseFrame

_FORMAT = 1.2  # the first with tracking scores; all later ones only add to it
_PREDICTED = 1
_HALF_PIXEL = 0.5
_POINT = [("x", "f8"), ("y", "f8"), ("visible", "?"), ("complete", "?")]
_PREDICTED_POINT = [*_POINT, ("score", "f8")]
_INSTANCE = [
    ("instance_id", "i8"), ("instance_type", "u1"), ("frame_id", "u8"), ("skeleton", "u4"), ("track", "i4"),
    ("from_predicted", "i8"), ("score", "f4"), ("point_id_start", "u8"), ("point_id_end", "u8"),
    ("tracking_score", "f4"),
]  # fmt: skip
_FRAME = [
    ("frame_id", "u8"), ("video", "u4"), ("frame_idx", "u8"), ("instance_id_start", "u8"), ("instance_id_end", "u8"),
]  # fmt: skip


def check_sleap() -> None:
    """Checks that `write_sleap` can write.

    Raises:
        MissingExtraError: h5py is not installed.
    """
    try:
        import h5py  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("h5py", "labels") from error


def write_sleap(path: Path, frames: Sequence[PoseFrame]) -> None:
    """Writes the poses of videos and of image files; the files of a folder are one image sequence.

    Raises:
        OSError: The file cannot be written.
    """
    import h5py

    videos, places = _to_videos(frames)
    tracks: dict[int, int] = {}
    points: list[tuple[Any, ...]] = []
    instances: list[tuple[Any, ...]] = []
    rows = []
    for number, (frame, place) in enumerate(zip(frames, places, strict=True)):
        first = len(instances)
        poses = frame.poses
        ids = [NO_TRACK] * len(poses) if poses.track_ids is None else poses.track_ids.tolist()
        for keypoints, keypoint_scores, score, track_id in zip(
            poses.keypoints - _HALF_PIXEL, poses.keypoint_scores, poses.scores.tolist(), ids, strict=True
        ):
            track = -1 if track_id == NO_TRACK else tracks.setdefault(track_id, len(tracks))
            start, end = len(points), len(points) + len(keypoints)
            instances.append((len(instances), _PREDICTED, number, 0, track, -1, score, start, end, 0.0))
            points += [
                _to_point(xy, score) for xy, score in zip(keypoints.tolist(), keypoint_scores.tolist(), strict=True)
            ]
        rows.append((number, *place, first, len(instances)))
    text = h5py.string_dtype()
    with h5py.File(path, "w") as file:
        group = file.create_group("metadata")
        group.attrs["format_id"] = _FORMAT
        group.attrs["json"] = np.bytes_(json.dumps(_to_header(frames[0].poses.schema)).encode())
        file["points"] = np.array([], _POINT)
        file["pred_points"] = np.array(points, _PREDICTED_POINT)
        file["instances"] = np.array(instances, _INSTANCE)
        file["frames"] = np.array(rows, _FRAME)
        file.create_dataset("videos_json", data=[json.dumps(video) for video in videos], dtype=text)
        file.create_dataset("tracks_json", data=[json.dumps([0, str(track)]) for track in tracks], dtype=text)
        file.create_dataset("suggestions_json", shape=(0,), dtype=text)


def _to_point(xy: Sequence[float], score: float) -> tuple[float, float, bool, bool, float]:
    is_finite = bool(np.isfinite(xy).all())
    return (xy[0], xy[1], True, False, score) if is_finite else (np.nan, np.nan, False, False, 0.0)


def _to_videos(frames: Sequence[PoseFrame]) -> tuple[list[dict[str, Any]], list[tuple[int, int]]]:
    """Returns the videos and image sequences, and the video and index of each frame."""
    numbers: dict[Path, int] = {}
    files: dict[Path, list[str]] = {}
    shapes: dict[Path, tuple[int, int]] = {}
    places = []
    for frame in frames:
        path = frame.path.absolute()
        key = path.parent if frame.index is None else path
        number = numbers.setdefault(key, len(numbers))
        shapes.setdefault(key, frame.size_hw)
        if frame.index is None:
            files.setdefault(key, []).append(path.as_posix())
        places.append((number, len(files[key]) - 1 if frame.index is None else frame.index))
    videos = []
    for key in numbers:
        names = files.get(key)
        size = {"height_": shapes[key][0], "width_": shapes[key][1], "channels_": 3, "grayscale": False}
        backend: dict[str, Any] = {"type": "MediaVideo", "filename": key.as_posix(), "grayscale": False}
        if names:
            shape = [len(names), *shapes[key], 3]
            backend = {"type": "ImageVideo", "filename": names[0], "filenames": names, "shape": shape, **size}
        videos.append({"filename": names or key.as_posix(), "backend": backend})
    return videos, places


def _to_header(schema: KeypointSchema) -> dict[str, Any]:
    """Returns nodes and skeleton; the type of a link is defined at its first use and then referred to by number."""
    pairs = [(first, second, 1) for first, second in schema.edges]
    pairs += [(first, second, 2) for first, second in enumerate(schema.flip) if first < second]
    defined: list[int] = []
    links: list[dict[str, Any]] = []
    for first, second, kind in pairs:
        record: dict[str, Any] = (
            {"py/id": defined.index(kind) + 1}
            if kind in defined
            else {"py/reduce": [{"py/type": "sleap.skeleton.EdgeType"}, {"py/tuple": [kind]}]}
        )
        defined += [] if kind in defined else [kind]
        links.append({"edge_insert_idx": len(links), "key": 0, "source": first, "target": second, "type": record})
    skeleton = {
        "directed": True,
        "graph": {"name": schema.name, "num_edges_inserted": len(schema.edges)},
        "links": links,
        "multigraph": True,
        "nodes": [{"id": index} for index in range(len(schema))],
    }
    nodes = [{"name": name, "weight": 1.0} for name in schema.keypoints]
    return {
        "version": "2.0.0", "skeletons": [skeleton], "nodes": nodes, "videos": [], "tracks": [], "suggestions": [],
        "negative_anchors": {}, "provenance": {},
    }  # fmt: skip
