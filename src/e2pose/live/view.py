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

THRESHOLD_STEP = 0.05
"""Change of the threshold per key press."""

MIN_THRESHOLD, MAX_THRESHOLD = 0.05, 0.95
"""Range of the threshold that keys can reach."""

_BLURS: tuple[Blur | None, ...] = (None, *get_args(Blur))  # each one covers more than the one before it
_LINES_PER_IMAGE = 30
_MIN_LINE_HEIGHT, _MAX_LINE_HEIGHT = 20, 30  # pixels


@dataclass(frozen=True)
class View:
    """State of the live view.

    Args:
        threshold: Minimum score of a person.
        max_threshold: Upper limit of the threshold for keys.
        blur: Region that is blurred.
        min_blur: Blur that keys cannot remove; they can only blur more.
        model_index: Index of the current model.
        num_models: Number of models that can be selected.
        show_poses: Whether poses are drawn.
        show_image: Whether the image is shown; otherwise poses are drawn over black.
        show_stats: Whether statistics of the run are shown.
        show_help: Whether the list of keys is shown.
        is_paused: Whether the run is paused.
        num_saves: How often a snapshot was requested.
        is_open: False after a request to quit.
    """

    threshold: float = 0.4
    max_threshold: float = MAX_THRESHOLD
    blur: Blur | None = None
    min_blur: Blur | None = None
    model_index: int = 0
    num_models: int = 1
    show_poses: bool = True
    show_image: bool = True
    show_stats: bool = True
    show_help: bool = False
    is_paused: bool = False
    num_saves: int = 0
    is_open: bool = True


class Key(NamedTuple):
    """A key binding.

    Args:
        names: Characters or Tk names of equivalent keys.
        description: Text for the help panel.
        change: Returns the state after the key press.
    """

    names: tuple[str, ...]
    description: str
    change: Callable[[View], View]


def _next_blur(view: View) -> View:
    allowed = _BLURS[_BLURS.index(view.min_blur) :]
    return replace(view, blur=allowed[(allowed.index(view.blur) + 1) % len(allowed)])


def _raise_threshold(view: View) -> View:
    highest = max(view.threshold, view.max_threshold)
    return replace(view, threshold=min(round(view.threshold + THRESHOLD_STEP, 4), highest))


def _lower_threshold(view: View) -> View:
    lowest = min(view.threshold, MIN_THRESHOLD)
    return replace(view, threshold=max(round(view.threshold - THRESHOLD_STEP, 4), lowest))


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

    Args:
        view: State before the key press.
        key: Character that the key types, in either case, or its Tk name if the character is not printable.
    """
    change = _CHANGES.get(key.casefold())
    return view if change is None else change(view)


def draw_view(frame: Frame, poses: Poses, view: View, *, keypoint_threshold: float) -> UInt8[np.ndarray, "h w 3"]:
    """Draws the poses of a frame, without statistics and help, at the size of the frame.

    Args:
        frame: Not modified.
        poses: Persons in the frame.
        view: Selects blur, image and poses.
        keypoint_threshold: Minimum score of a drawn keypoint, in [0, 1].
    """
    image = frame.image
    if not view.show_image:
        image = np.zeros_like(image)
    elif view.blur is not None:
        image = blur_image(image, poses, view.blur)
    return draw_poses(image, poses, threshold=keypoint_threshold) if view.show_poses else image


def draw_panels(image: UInt8[np.ndarray, "h w 3"], view: View, stats: RunStats) -> UInt8[np.ndarray, "h w 3"]:
    """Returns a copy of an image with the statistics on the left and the help on the right, as far as selected.

    Args:
        image: RGB; not modified.
        view: Selects the panels.
        stats: Statistics of the run.
    """
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
