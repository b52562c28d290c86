"""Single frames of a run as image files."""

from __future__ import annotations

import re
from itertools import chain, count
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from e2pose.core.files import atomic_path
from e2pose.core.frame import Frame
from e2pose.sinks.images import encode_image

_UNSAFE = re.compile(r"[^\w.]+")  # characters of an address that some file systems reserve


def save_snapshot(image: UInt8[np.ndarray, "h w 3"], frame: Frame, folder: Path) -> Path:
    """Writes an image as a PNG named after the source and the index of the frame. Never replaces a file.

    Returns the path: `run-000012.png`, or `run-000012-2.png` if the first name is taken.

    Raises:
        OutputError: The file cannot be written.
    """
    origin = frame.origin
    source = origin.path.stem if origin.path else _UNSAFE.sub("-", Path(origin.name).name).strip("-.") or "live"
    name = f"{source}-{frame.index:06d}"
    names = chain([name], (f"{name}-{number}" for number in count(2)))
    path = next(path for path in (folder / f"{name}.png" for name in names) if not path.exists())
    with atomic_path(path) as temporary:
        temporary.write_bytes(encode_image(image, path))
    return path
