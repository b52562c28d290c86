"""What the window of a live view shows, and the keys that change it. All of it works without a window."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple, get_args

import numpy as np
from jaxtyping import UInt8

from e2pose.core.frame import Frame
from e2pose.core.poses import Poses
from e2pose.render.blur import Blur, blur_image
from e2pose.render.hud import Numbers
from e2pose.render.overlay import draw_poses
from e2pose.render.text import draw_table

STEP = 0.05
"""How much a key changes the threshold."""

LEAST_THRESHOLD, MOST_THRESHOLD = 0.05, 0.95
"""How far keys change the threshold."""

_BLURS: tuple[Blur | None, ...] = (None, *get_args(Blur))  # each hides what those before it hide
_LINES_PER_PICTURE = 30
_LEAST_LINE, _MOST_LINE = 20, 30  # pixels


@dataclass(frozen=True)
class View:
    """What a person wants to see, and has asked for so far.

    Args:
        threshold: Persons with a lower score are left out.
        most_threshold: No key raises the threshold above this.
        blur: What is made unrecognisable.
        least_blur: No key takes away this much of it.
        model: Which of the models looks.
        models: How many there are.
        shows_poses: Whether poses are drawn.
        shows_picture: Whether they are drawn over the picture; otherwise over black.
        shows_numbers: Whether numbers about the run are shown.
        shows_help: Whether the keys are shown.
        is_paused: Whether the run waits.
        saves: How often it was asked to save the picture.
        is_open: Whether the view goes on.
    """

    threshold: float = 0.4
    most_threshold: float = MOST_THRESHOLD
    blur: Blur | None = None
    least_blur: Blur | None = None
    model: int = 0
    models: int = 1
    shows_poses: bool = True
    shows_picture: bool = True
    shows_numbers: bool = True
    shows_help: bool = False
    is_paused: bool = False
    saves: int = 0
    is_open: bool = True


class Key(NamedTuple):
    """A key and what it does.

    Args:
        names: The character that it writes, or the name that it has; all of them do the same.
        does: That in a few words.
        change: That.
    """

    names: tuple[str, ...]
    does: str
    change: Callable[[View], View]


def _next_blur(view: View) -> View:
    allowed = _BLURS[_BLURS.index(view.least_blur) :]
    return replace(view, blur=allowed[(allowed.index(view.blur) + 1) % len(allowed)])


def _raise(view: View) -> View:
    highest = max(view.threshold, view.most_threshold)
    return replace(view, threshold=min(round(view.threshold + STEP, 4), highest))


def _lower(view: View) -> View:
    lowest = min(view.threshold, LEAST_THRESHOLD)
    return replace(view, threshold=max(round(view.threshold - STEP, 4), lowest))


KEYS = (
    Key(("space",), "pause, go on", lambda view: replace(view, is_paused=not view.is_paused)),
    Key(("s",), "save the picture", lambda view: replace(view, saves=view.saves + 1)),
    Key(("b",), "blur heads, people, all", _next_blur),
    Key(("p",), "poses on, off", lambda view: replace(view, shows_poses=not view.shows_poses)),
    Key(("i",), "picture on, off", lambda view: replace(view, shows_picture=not view.shows_picture)),
    Key(("+", "="), "threshold up", _raise),
    Key(("-",), "threshold down", _lower),
    Key(("m",), "next model", lambda view: replace(view, model=(view.model + 1) % view.models)),
    Key(("f",), "numbers on, off", lambda view: replace(view, shows_numbers=not view.shows_numbers)),
    Key(("h", "F1"), "this help on, off", lambda view: replace(view, shows_help=not view.shows_help)),
    Key(("q", "Escape"), "end", lambda view: replace(view, is_open=False)),
)
"""All keys of a live view."""

_CHANGES = {name.casefold(): key.change for key in KEYS for name in key.names}


def press(view: View, key: str) -> View:
    """The view after a key; the same one if the key means nothing.

    Args:
        view: What is shown.
        key: The character that the key writes, in either case, or its name if it writes none that can be seen.
    """
    change = _CHANGES.get(key.casefold())
    return view if change is None else change(view)


def draw_view(frame: Frame, poses: Poses, view: View, *, keypoint_threshold: float) -> UInt8[np.ndarray, "h w 3"]:
    """The picture that shows the poses of a frame: as large as the frame, and without numbers and help.

    Args:
        frame: Not changed.
        poses: Who is in it.
        view: What to show of both.
        keypoint_threshold: Keypoints with a lower score are not drawn, in [0, 1].
    """
    image = frame.image
    if not view.shows_picture:
        image = np.zeros_like(image)
    elif view.blur is not None:
        image = blur_image(image, poses, view.blur)
    return draw_poses(image, poses, threshold=keypoint_threshold) if view.shows_poses else image


def draw_panels(image: UInt8[np.ndarray, "h w 3"], view: View, numbers: Numbers) -> UInt8[np.ndarray, "h w 3"]:
    """Draws the numbers and the help, if they are wanted, over a copy of the picture.

    Args:
        image: RGB; not changed.
        view: Which of them to show.
        numbers: What is known of the run.
    """
    canvas = np.array(image, order="C")  # OpenCV draws into no other layout
    line = min(max(min(canvas.shape[:2]) / _LINES_PER_PICTURE, _LEAST_LINE), _MOST_LINE)
    rows = numbers.rows if view.shows_numbers else []
    if view.shows_numbers and view.blur is not None:
        rows.append(("blur", view.blur))
    if view.is_paused:
        rows.append(("paused", "space goes on"))
    draw_table(canvas, rows, "left", line)
    if view.shows_help:
        draw_table(canvas, [(", ".join(key.names), key.does) for key in KEYS], "right", line)
    return canvas
