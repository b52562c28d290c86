"""Single frames of a run as pictures."""

from __future__ import annotations

import re
from itertools import chain, count
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from e2pose.core.files import atomic_path
from e2pose.core.frame import Frame
from e2pose.sinks.images import encode_image

_UNUSUAL = re.compile(r"[^\w.]+")  # characters of addresses that mean something to some file system


def save_snapshot(image: UInt8[np.ndarray, "h w 3"], frame: Frame, folder: Path) -> Path:
    """Writes a picture as a PNG that is named by input and number of the frame; it replaces no file.

    Args:
        image: RGB.
        frame: What the picture shows.
        folder: Where to write it.

    Returns:
        The file: `run-000012.png`, or `run-000012-2.png` if there is one already.

    Raises:
        OutputError: It cannot be written.
    """
    origin = frame.origin
    source = origin.path.stem if origin.path else _UNUSUAL.sub("-", Path(origin.name).name).strip("-.") or "live"
    name = f"{source}-{frame.index:06d}"
    names = chain([name], (f"{name}-{number}" for number in count(2)))
    path = next(path for path in (folder / f"{free}.png" for free in names) if not path.exists())
    with atomic_path(path) as temporary:
        temporary.write_bytes(encode_image(image, path))
    return path
