"""Overlays: the poses of all peers side by side."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, sqrt
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from e2pose.bench.accuracy import to_poses
from e2pose.bench.images import BenchImage
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
"""Persons and keypoints with lower scores are not drawn."""

_PANE_PIXELS = 640  # longer side
_LABEL_HEIGHT = 0.06  # relative to the pane

Image = UInt8[np.ndarray, "_ _ 3"]


def write_overlays(
    folder: Path, comparison: Comparison, images: Sequence[BenchImage], schema: KeypointSchema
) -> list[Path]:
    """Writes images and videos with a pane for each peer, without peers with random weights; returns their paths.

    Keypoints that are not in the schema are left out.
    """
    trained = [(name, peer) for name, peer in comparison.named_results if not peer.handshake.random_weights]
    if not trained:
        return []

    def draw(frame: Frame, _: Poses) -> Image:
        named_poses = [
            (name, to_poses(peer.poses[image.index], peer.handshake.keypoints, schema)) for name, peer in trained
        ]
        return draw_side_by_side(frame.image, named_poses)

    inputs = [image.origin.path for image in images if image.origin.path is not None]
    with FolderSink(folder, draw, inputs=inputs) as sink:
        for image in images:  # `draw` uses the current image
            sink.write(image.load(), Poses.empty(schema))
    return sink.written


def draw_side_by_side(image: Image, named_poses: Sequence[tuple[str, Poses]]) -> Image:
    """Draws a pane with the image, which is not modified, for each name and its poses."""
    scale = min(_PANE_PIXELS / max(image.shape[:2]), 1.0)
    height, width = (max(1, round(scale * side)) for side in image.shape[:2])
    small = warp(image, Affine.scaling(scale), (height, width))
    panes = []
    for name, poses in named_poses:
        scaled = Poses(poses.keypoints * np.float32(scale), poses.keypoint_scores, poses.scores, poses.schema)
        pane = draw_poses(small, scaled[scaled.scores >= THRESHOLD], threshold=THRESHOLD)
        draw_label(pane, name.encode("ascii", "replace").decode(), (0, 0), max(12.0, _LABEL_HEIGHT * height))
        panes.append(pane)
    return contact_sheet(panes, columns=ceil(sqrt(len(panes))))
