"""State of the live view, the keys that change it, and how it is drawn. No window is needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple, get_args

import numpy as np
from jaxtyping import UInt8

from e2pose.core.frame import Frame
from e2pose.core.poses import Poses
from e2pose.render.blur import Blur, blur_image
from e2pose.render.hud import RunStats
from e2pose.render.overlay import draw_poses
from e2pose.render.text import draw_table

MAX_THRESHOLD = 0.95
"""Highest threshold that keys can set."""

_MIN_THRESHOLD = 0.05
_THRESHOLD_STEP = 0.05  # per key press
_BLURS: tuple[Blur | None, ...] = (None, *get_args(Blur))  # each one covers more than the one before it
_LINES_PER_IMAGE = 30
_MIN_LINE_HEIGHT, _MAX_LINE_HEIGHT = 20, 30  # pixels


@dataclass(frozen=True)
class View:
    """State of the live view."""

    threshold: float = 0.4  # minimum score of a person
    max_threshold: float = MAX_THRESHOLD  # upper limit of the threshold for keys
    blur: Blur | None = None
    min_blur: Blur | None = None  # keys cannot remove this blur; they can only blur more
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
    allowed = _BLURS[_BLURS.index(view.min_blur) :]
    return replace(view, blur=allowed[(allowed.index(view.blur) + 1) % len(allowed)])


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


def draw_view(frame: Frame, poses: Poses, view: View, *, keypoint_threshold: float) -> UInt8[np.ndarray, "h w 3"]:
    """Draws the poses of a frame, without statistics and help, at the size of the frame; modifies no argument."""
    image = frame.image
    if not view.show_image:
        image = np.zeros_like(image)
    elif view.blur is not None:
        image = blur_image(image, poses, view.blur)
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
