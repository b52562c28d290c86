"""Image files for labels of annotation tools, and access to them."""

from pathlib import Path

import cv2
import numpy as np

from e2pose.core.errors import InputError
from e2pose.formats.tool_entries import ImageAccess, frame_name

SIZE_HW = (40, 60)
BRIGHT_XY = (20, 10)
"""Column and row of the bright pixel of each image."""
CENTRE_XY = (20.5, 10.5)
"""Its centre in the coordinates of e2pose."""


def write_image(path):
    """Writes a dark image with one bright pixel."""
    image = np.zeros((*SIZE_HW, 3), np.uint8)
    image[BRIGHT_XY[1], BRIGHT_XY[0]] = 255
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image)
    return path


def make_access(cache=Path("cache")):
    """Access to files of which only those that exist can be read."""

    def size_of(path):
        if not path.is_file():
            raise InputError(f"there is no file '{path}'", "use another path")
        return SIZE_HW

    def extract_frames(film, indices, folder):
        for index in indices:
            write_image(folder / frame_name(index))

    return ImageAccess(size_of, lambda content: content, extract_frames, cache)


def points_of(labels, image=0, person=0):
    """The labelled points of a person by name: x, y and visibility."""
    annotations = labels.annotations
    found = annotations.images[image].persons[person]
    rows = zip(annotations.schema.keypoints, found.keypoints.tolist(), found.visibility.tolist(), strict=True)
    return {name: (*xy, visibility) for name, xy, visibility in rows if visibility}
