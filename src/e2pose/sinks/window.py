"""A sink that shows the poses on the screen."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

import numpy as np
from jaxtyping import UInt8

from e2pose.core.errors import OutputError
from e2pose.core.frame import Frame
from e2pose.core.poses import Poses
from e2pose.sinks.base import Draw
from e2pose.transforms.fit import fit_affine
from e2pose.transforms.warp import warp

_SHARE_OF_SCREEN = 0.9
_INSTEAD = "leave it out and write a video with -o"


class WindowSink:
    """Shows every frame, with its poses drawn, in a window that is made for the first one.

    It belongs to the thread that makes it, as windows do. Escape, q and its close button close it.

    Args:
        draw: Makes the pictures.
        on_close: Told when a person closes the window; after that it shows nothing more.

    Raises:
        OutputError: There is no screen, or Python was built without Tk.
    """

    def __init__(self, draw: Draw, on_close: Callable[[], None]) -> None:
        self._draw = draw
        self._on_close = on_close
        self._is_open = True
        try:
            import tkinter
        except ImportError as error:
            raise OutputError(
                "no window can be opened: this Python has no Tk", f"install it (on Debian: python3-tk), or {_INSTEAD}"
            ) from error
        self._toolkit = tkinter
        try:
            self._window = tkinter.Tk(className="e2pose")
        except tkinter.TclError as error:
            raise OutputError(
                f"no window can be opened on this machine: {error}", f"run it in a desktop session, or {_INSTEAD}"
            ) from error
        self._window.title("e2pose")
        self._window.protocol("WM_DELETE_WINDOW", self._close)
        for key in ("<Escape>", "q"):
            self._window.bind(key, lambda _: self._close())
        self._picture = tkinter.Label(self._window, borderwidth=0, background="black")
        self._picture.pack()

    def write(self, frame: Frame, poses: Poses) -> None:
        """Shows a frame and takes note of what the person did."""
        if not self._is_open:
            return
        image = self._onto_screen(self._draw(frame, poses))
        height, width = image.shape[:2]
        self._shown = self._toolkit.PhotoImage(
            master=self._window, data=f"P6 {width} {height} 255 ".encode() + image.tobytes(), format="ppm"
        )
        self._picture.configure(image=self._shown)
        self._window.update()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the window."""
        self._is_open = False
        self._window.destroy()

    def _close(self) -> None:
        if self._is_open:
            self._is_open = False
            self._window.withdraw()
            self._on_close()

    def _onto_screen(self, image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h2 w2 3"]:
        """The picture, made smaller if it is larger than the screen."""
        height, width = image.shape[:2]
        scale = _SHARE_OF_SCREEN * min(
            self._window.winfo_screenheight() / height, self._window.winfo_screenwidth() / width
        )
        if scale >= 1:
            return image
        size_hw = max(1, round(scale * height)), max(1, round(scale * width))
        return warp(image, fit_affine((height, width), size_hw, "stretch"), size_hw)
