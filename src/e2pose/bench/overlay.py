"""What the peers have found, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, sqrt
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from e2pose.bench.accuracy import to_poses
from e2pose.bench.images import Picture
from e2pose.bench.report import Comparison
from e2pose.core.affine import Affine
from e2pose.core.frame import Frame
from e2pose.core.poses import Poses
from e2pose.core.schema import KeypointSchema
from e2pose.render.overlay import draw_poses
from e2pose.render.sheet import contact_sheet
from e2pose.render.text import draw_label
from e2pose.sinks.folder import FolderSink
from e2pose.transforms.warp import warp

THRESHOLD = 0.3
"""Persons and keypoints with lower scores are not drawn, whoever has found them."""

_PANE = 640  # pixels of the longer side
_LABEL_SHARE = 0.06

Image = UInt8[np.ndarray, "_ _ 3"]


def write_overlays(
    folder: Path, comparison: Comparison, pictures: Sequence[Picture], schema: KeypointSchema
) -> list[Path]:
    """Draws every frame once for each peer that has learned something; pictures become pictures, and videos videos.

    Args:
        folder: Where to.
        comparison: Who has found what.
        pictures: The frames.
        schema: What is drawn; keypoints of a peer that it does not have are left out.

    Returns:
        What has been written.

    Raises:
        OutputError: A file cannot be written.
    """
    current: list[Picture] = []

    def draw(frame: Frame, _: Poses) -> Image:
        return side_by_side(frame.image, _found(comparison, current[0], schema))

    if all(one.run.hello.random_weights for one in comparison.results):
        return []
    inputs = [picture.origin.path for picture in pictures if picture.origin.path is not None]
    with FolderSink(folder, draw, inputs=inputs) as sink:
        for picture in pictures:
            current[:] = [picture]
            sink.write(picture.load(), Poses.empty(schema))
    return sink.written


def side_by_side(image: Image, found: Sequence[tuple[str, Poses]]) -> Image:
    """A picture, once for each name, with that one's poses.

    Args:
        image: The picture; not changed.
        found: A name and its poses, at least one.
    """
    scale = min(_PANE / max(image.shape[:2]), 1.0)
    height, width = (max(1, round(scale * side)) for side in image.shape[:2])
    small = warp(image, Affine.scaling(scale), (height, width))
    panes = []
    for name, poses in found:
        pane = draw_poses(small, _scaled(poses[poses.scores >= THRESHOLD], scale), threshold=THRESHOLD)
        draw_label(pane, name.encode("ascii", "replace").decode(), (0, 0), max(12.0, _LABEL_SHARE * height))
        panes.append(pane)
    return contact_sheet(panes, columns=ceil(sqrt(len(panes))))


def _found(comparison: Comparison, picture: Picture, schema: KeypointSchema) -> list[tuple[str, Poses]]:
    return [
        (name, to_poses(one.run.poses[picture.index], one.run.hello.keypoints, schema))
        for name, one in zip(comparison.names, comparison.results, strict=True)
        if not one.run.hello.random_weights
    ]


def _scaled(poses: Poses, scale: float) -> Poses:
    return Poses(poses.keypoints * np.float32(scale), poses.keypoint_scores, poses.scores, poses.schema)
