"""A window on the screen that shows images and collects key presses."""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8

from e2pose.core.errors import OutputError
from e2pose.transforms.fit import fit_affine
from e2pose.transforms.warp import warp

_MAX_SCREEN_SHARE = 0.9
_ALTERNATIVE = "write a video instead: replace --show with -o out.mp4"
_CLOSE_KEY = "Escape"


class Window:
    """Shows images. Must be used from the thread that creates it.

    Raises:
        OutputError: There is no screen, or Python was built without Tk.
    """

    def __init__(self) -> None:
        try:
            import tkinter
        except ImportError as error:
            raise OutputError(
                "cannot open a window: this Python has no Tk", f"install Tk (Debian: python3-tk), or {_ALTERNATIVE}"
            ) from error
        try:
            self._window = tkinter.Tk(className="e2pose")
        except tkinter.TclError as error:
            raise OutputError(
                f"cannot open a window on this machine: {error}", f"run in a desktop session, or {_ALTERNATIVE}"
            ) from error
        self._keys: list[str] = []
        self._window.title("e2pose - press h for help")
        self._window.protocol("WM_DELETE_WINDOW", lambda: self._keys.append(_CLOSE_KEY))
        self._window.bind("<Key>", lambda event: self._keys.append(_key(event.char, event.keysym)))
        self._photo = tkinter.PhotoImage(master=self._window)
        tkinter.Label(self._window, image=self._photo, borderwidth=0, background="black").pack()

    def fit(self, image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h2 w2 3"]:
        """Returns the image, scaled down to at most 90 % of the screen."""
        height, width = image.shape[:2]
        scale = _MAX_SCREEN_SHARE * min(
            self._window.winfo_screenheight() / height, self._window.winfo_screenwidth() / width
        )
        if scale >= 1:
            return image
        size_hw = max(1, round(scale * height)), max(1, round(scale * width))
        return warp(image, fit_affine((height, width), size_hw, "stretch"), size_hw)

    def show(self, image: UInt8[np.ndarray, "h w 3"]) -> None:
        """Replaces the image in the window."""
        height, width = image.shape[:2]
        self._photo.configure(data=f"P6 {width} {height} 255 ".encode() + image.tobytes(), format="ppm")
        self._window.update()

    def take_keys(self) -> list[str]:
        """Processes window events and returns the keys pressed since the last call.

        A key is the character it types, or its Tk name if the character is not printable. The close button counts as
        Escape. The window does not respond between two calls.
        """
        self._window.update()
        keys, self._keys = self._keys, []
        return keys

    def hide(self) -> None:
        """Removes the window from the screen."""
        self._window.withdraw()
        self._window.update()

    def close(self) -> None:
        """Destroys the window."""
        self._window.destroy()


def _key(character: str, name: str) -> str:
    return character if character.strip() and character.isprintable() else name
