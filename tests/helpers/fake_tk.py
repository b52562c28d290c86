"""A replacement of tkinter without a screen; keys are pressed by a schedule."""

import types
from collections import defaultdict

import numpy as np

CHARACTERS = {"space": " ", "Escape": "\x1b", "F1": "", "plus": "+", "KP_Subtract": "-", "Shift_L": ""}


class FakeTk(types.ModuleType):
    """Replaces the module `tkinter` and all its widgets.

    `shown` holds the images shown so far. `plan` maps a number of shown images to the keys pressed at that point.
    `on_update` is called at each update of the window.
    """

    TclError = RuntimeError

    def __init__(self, screen_hw=(1000, 1000)):
        super().__init__("tkinter")
        self.screen_hw = screen_hw
        self.shown, self.bindings, self.plan = [], {}, defaultdict(list)
        self.is_open = self.is_hidden = None
        self.on_update = lambda: None

    def press(self, *keys):
        for key in keys:
            if key == "close button":
                self.bindings["WM_DELETE_WINDOW"]()
            else:
                self.bindings["<Key>"](types.SimpleNamespace(char=CHARACTERS.get(key, key), keysym=key))

    def Tk(self, **_):
        self.is_open, self.is_hidden = True, False
        return self

    def Label(self, *_, **__):
        return self

    def PhotoImage(self, **_):
        return types.SimpleNamespace(configure=self._show)

    def _show(self, data, **options):
        assert options == {"format": "ppm"}
        header, pixels = data.split(b" 255 ", 1)
        width, height = (int(word) for word in header.split()[1:])
        self.shown.append(np.frombuffer(pixels, np.uint8).reshape(height, width, 3))

    def bind(self, key, callback):
        self.bindings[key] = callback

    protocol = bind

    def update(self):
        assert self.is_open
        self.on_update()
        self.press(*self.plan.pop(len(self.shown), []))

    def withdraw(self):
        self.is_hidden = True

    def destroy(self):
        self.is_open = False

    def winfo_screenheight(self):
        return self.screen_hw[0]

    def winfo_screenwidth(self):
        return self.screen_hw[1]

    title = pack = lambda *_, **__: None
