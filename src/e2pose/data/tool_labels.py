"""Labels as annotation tools write them, with access to their image files."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import cv2
import numpy as np

from e2pose.core.errors import AnnotationError
from e2pose.core.files import atomic_path
from e2pose.formats.coco_categories import CategoryChoice
from e2pose.formats.detect import find_labels
from e2pose.formats.tool_entries import ImageAccess, ImageSizeReader, LabelledImages, frame_name
from e2pose.sinks.images import encode_image
from e2pose.sources.images import read_image_size
from e2pose.sources.video import VideoSource
from e2pose.zoo.cache import cache_folder


def read_tool_labels(
    path: Path,
    *,
    images: Path | None = None,
    category: CategoryChoice = None,
    size_of: ImageSizeReader = read_image_size,
) -> LabelledImages | None:
    """Reads the labels of DeepLabCut, SLEAP, CVAT, Label Studio or LabelMe; None if the path has none of them.

    Labelled images that are stored inside a file of labels or in a film are copied to the folder `frames` of the cache
    once.

    Args:
        path: A file or folder, as the tool writes it.
        images: Folder of the image files; None for the usual places beside the labels.
        category: Name of the skeleton to read, where there are several.
        size_of: Returns (height, width) of an image file.

    Raises:
        AnnotationError: The labels cannot be read or have invalid entries.
        MissingExtraError: A package that the format needs is not installed.

    Example:
        >>> labels = read_tool_labels(Path("my-project"))  # doctest: +SKIP
    """
    found = find_labels(path)
    if found is None:
        return None
    access = ImageAccess(size_of, _swap_red_and_blue, _extract_frames, cache_folder("frames"))
    return found.read(access, images=images, category=category)


def _extract_frames(film: Path, indices: Collection[int], folder: Path) -> None:
    missing = {index for index in indices if not (folder / frame_name(index)).is_file()}
    if not missing:
        return
    with VideoSource(film, on_error=lambda _: None) as frames:  # the reader reports labelled frames that are missing
        for frame in frames:
            if frame.index in missing:
                missing.remove(frame.index)
                target = folder / frame_name(frame.index)
                with atomic_path(target) as temporary:
                    temporary.write_bytes(encode_image(frame.image, target))
            if not missing:
                return


def _swap_red_and_blue(content: bytes) -> bytes:
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise AnnotationError("an image in the file cannot be decoded", "export the file again")
    return cv2.imencode(".png", image[..., ::-1])[1].tobytes()
