"""Sizes of images from clients, checked before anything is decoded."""

from __future__ import annotations

from e2pose.core.errors import InputError
from e2pose.serve.problems import RequestError
from e2pose.sources.image_format import SIGNATURE_LENGTH, detect_format
from e2pose.sources.image_size import max_decoded_pixels


def count_pixels(data: bytes, max_pixels: int) -> int:
    """Returns the number of pixels that an image needs, from its header.

    Raises:
        RequestError: The image has more pixels than accepted.
        InputError: The data are not an image in a supported format.
    """
    image_format = detect_format(data[:SIGNATURE_LENGTH])
    if image_format is None:
        raise InputError("the data are not an image in a supported format", "send a JPEG, PNG or WebP image")
    pixels = max_decoded_pixels(data, image_format)
    if pixels > max_pixels:
        raise RequestError(
            413,
            f"the image has {pixels:,} pixels; accepted are {max_pixels:,}",
            "scale the image down: the model receives a small image anyway",
        )
    return pixels
