"""A window on the screen: pictures go in, keys come out."""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8

from e2pose.core.errors import OutputError
from e2pose.transforms.fit import fit_affine
from e2pose.transforms.warp import warp

_SHARE_OF_SCREEN = 0.9
_INSTEAD = "leave it out and write a video with -o"
_CLOSE_BUTTON = "Escape"


class Window:
    """Shows pictures. It belongs to the thread that makes it, as windows do.

    Raises:
        OutputError: There is no screen, or Python was built without Tk.
    """

    def __init__(self) -> None:
        try:
            import tkinter
        except ImportError as error:
            raise OutputError(
                "no window can be opened: this Python has no Tk", f"install it (on Debian: python3-tk), or {_INSTEAD}"
            ) from error
        try:
            self._window = tkinter.Tk(className="e2pose")
        except tkinter.TclError as error:
            raise OutputError(
                f"no window can be opened on this machine: {error}", f"run it in a desktop session, or {_INSTEAD}"
            ) from error
        self._pressed: list[str] = []
        self._window.title("e2pose - h shows the keys")
        self._window.protocol("WM_DELETE_WINDOW", lambda: self._pressed.append(_CLOSE_BUTTON))
        self._window.bind("<Key>", lambda event: self._pressed.append(_key(event.char, event.keysym)))
        self._photo = tkinter.PhotoImage(master=self._window)
        tkinter.Label(self._window, image=self._photo, borderwidth=0, background="black").pack()

    def fitted(self, image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h2 w2 3"]:
        """The picture, made smaller if it is larger than the screen."""
        height, width = image.shape[:2]
        scale = _SHARE_OF_SCREEN * min(
            self._window.winfo_screenheight() / height, self._window.winfo_screenwidth() / width
        )
        if scale >= 1:
            return image
        size_hw = max(1, round(scale * height)), max(1, round(scale * width))
        return warp(image, fit_affine((height, width), size_hw, "stretch"), size_hw)

    def show(self, image: UInt8[np.ndarray, "h w 3"]) -> None:
        """Shows a picture in the place of the one before."""
        height, width = image.shape[:2]
        self._photo.configure(data=f"P6 {width} {height} 255 ".encode() + image.tobytes(), format="ppm")
        self._window.update()

    def pressed(self) -> list[str]:
        """The keys that were pressed since the last call: the character that each writes, or its name.

        The close button counts as Escape. A window reacts to nothing between two calls.
        """
        self._window.update()
        names, self._pressed = self._pressed, []
        return names

    def hide(self) -> None:
        """Takes the window off the screen."""
        self._window.withdraw()
        self._window.update()

    def close(self) -> None:
        """Ends it."""
        self._window.destroy()


def _key(character: str, name: str) -> str:
    return character if character.strip() and character.isprintable() else name
