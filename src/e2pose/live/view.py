"""State of the live view, the keys that change it, and how it is drawn. No window is needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple, get_args

import numpy as np
from jaxtyping import UInt8

from e2pose.core.frame import Frame
from e2pose.core.poses import Poses
from e2pose.core.schema import KeypointSchema
from e2pose.inference.anonymise import BlurTargets
from e2pose.render.blur import Blur, blur_image, supported_or_stronger, supported_regions
from e2pose.render.hud import RunStats
from e2pose.render.overlay import draw_poses
from e2pose.render.text import draw_table

MAX_THRESHOLD = 0.95
"""Highest threshold that keys can set."""

_MIN_THRESHOLD = 0.05
_THRESHOLD_STEP = 0.05  # per key press
_REGIONS: tuple[Blur, ...] = get_args(Blur)  # each one covers more than the one before it
_LINES_PER_IMAGE = 30
_MIN_LINE_HEIGHT, _MAX_LINE_HEIGHT = 20, 30  # pixels


@dataclass(frozen=True)
class View:
    """State of the live view."""

    threshold: float = 0.4  # minimum score of a person
    max_threshold: float = MAX_THRESHOLD  # upper limit of the threshold for keys
    blur: Blur | None = None
    min_blur: Blur | None = None  # keys cannot remove this blur; they can only blur more
    regions: tuple[Blur, ...] = _REGIONS  # that the model can locate, in this order
    model_index: int = 0
    num_models: int = 1
    show_poses: bool = True
    show_image: bool = True  # otherwise poses are drawn over black
    show_stats: bool = True
    show_help: bool = False
    is_paused: bool = False
    num_saves: int = 0  # number of requested snapshots
    is_open: bool = True  # False after a request to quit


class Key(NamedTuple):
    """A key binding."""

    names: tuple[str, ...]  # characters or Tk names of equivalent keys
    description: str  # for the help panel
    change: Callable[[View], View]  # returns the state after the key press


def _next_blur(view: View) -> View:
    blurs: tuple[Blur | None, ...] = (None, *_REGIONS)
    allowed = [blur for blur in blurs[blurs.index(view.min_blur) :] if blur is None or blur in view.regions]
    return replace(view, blur=allowed[(allowed.index(view.blur) + 1) % len(allowed)])


def for_schema(view: View, schema: KeypointSchema) -> View:
    """Returns the view for a model with these keypoints; a blur that they do not locate becomes a stronger one."""

    def supported(blur: Blur | None) -> Blur | None:
        return None if blur is None else supported_or_stronger(schema, blur)

    return replace(
        view, regions=supported_regions(schema), blur=supported(view.blur), min_blur=supported(view.min_blur)
    )


def _raise_threshold(view: View) -> View:
    highest = max(view.threshold, view.max_threshold)
    return replace(view, threshold=min(round(view.threshold + _THRESHOLD_STEP, 4), highest))


def _lower_threshold(view: View) -> View:
    lowest = min(view.threshold, _MIN_THRESHOLD)
    return replace(view, threshold=max(round(view.threshold - _THRESHOLD_STEP, 4), lowest))


KEYS = (
    Key(("space",), "pause, resume", lambda view: replace(view, is_paused=not view.is_paused)),
    Key(("s",), "save the image", lambda view: replace(view, num_saves=view.num_saves + 1)),
    Key(("b",), "blur heads, bodies, frame", _next_blur),
    Key(("p",), "poses on, off", lambda view: replace(view, show_poses=not view.show_poses)),
    Key(("i",), "image on, off", lambda view: replace(view, show_image=not view.show_image)),
    Key(("+", "="), "threshold up", _raise_threshold),
    Key(("-",), "threshold down", _lower_threshold),
    Key(("m",), "next model", lambda view: replace(view, model_index=(view.model_index + 1) % view.num_models)),
    Key(("f",), "statistics on, off", lambda view: replace(view, show_stats=not view.show_stats)),
    Key(("h", "F1"), "help on, off", lambda view: replace(view, show_help=not view.show_help)),
    Key(("q", "Escape"), "quit", lambda view: replace(view, is_open=False)),
)
"""All key bindings of the live view."""

_CHANGES = {name.casefold(): key.change for key in KEYS for name in key.names}


def press(view: View, key: str) -> View:
    """Returns the state after a key press; keys without a binding change nothing.

    A key is the character that it types, in either case, or its Tk name if the character is not printable.
    """
    change = _CHANGES.get(key.casefold())
    return view if change is None else change(view)


def draw_view(
    frame: Frame, poses: Poses, view: View, *, keypoint_threshold: float, targets: BlurTargets | None = None
) -> UInt8[np.ndarray, "h w 3"]:
    """Draws the poses of a frame, without statistics and help, at the size of the frame; modifies no argument.

    `targets` are the persons to blur besides those of `poses`.
    """
    image = frame.image
    if not view.show_image:
        image = np.zeros_like(image)
    elif view.blur is not None:
        image = blur_image(image, poses, supported_or_stronger(poses.schema, view.blur))
        if targets is not None:
            image = targets.blur(image, supported_or_stronger(targets.poses.schema, view.blur))
    return draw_poses(image, poses, threshold=keypoint_threshold) if view.show_poses else image


def draw_panels(image: UInt8[np.ndarray, "h w 3"], view: View, stats: RunStats) -> UInt8[np.ndarray, "h w 3"]:
    """Returns a copy of an image with the selected panels: statistics on the left, help on the right."""
    drawn = np.array(image, order="C")  # OpenCV draws only into C-contiguous arrays
    line_height = min(max(min(drawn.shape[:2]) / _LINES_PER_IMAGE, _MIN_LINE_HEIGHT), _MAX_LINE_HEIGHT)
    rows = stats.rows if view.show_stats else []
    if view.show_stats and view.blur is not None:
        rows.append(("blur", view.blur))
    if view.is_paused:
        rows.append(("paused", "space resumes"))
    draw_table(drawn, rows, "left", line_height)
    if view.show_help:
        draw_table(drawn, [(", ".join(key.names), key.description) for key in KEYS], "right", line_height)
    return drawn
