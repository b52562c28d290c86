"""Decoding of images from clients, within limits."""

from __future__ import annotations

import tempfile
from math import prod
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from e2pose.core.errors import InputError
from e2pose.serve.problems import RequestError
from e2pose.sources.image_format import SIGNATURE_LENGTH, detect_format, stored_size_hw
from e2pose.sources.images import read_image


def decode_limited(data: bytes, max_pixels: int) -> UInt8[np.ndarray, "h w 3"]:
    """Decodes an image as `decode_image` does, after a check of its size.

    Raises:
        RequestError: The image has more pixels than allowed, by its header.
        InputError: The image is damaged or not in a supported format.
    """
    image_format = detect_format(data[:SIGNATURE_LENGTH])
    if image_format is None:
        raise InputError("the body is not an image in a supported format", "send a JPEG, PNG or WebP image")
    pixels = prod(stored_size_hw(data, image_format) or (max_pixels, 2))
    if pixels > max_pixels:
        raise RequestError(
            413,
            f"the image has {pixels / 1e6:,.1f} megapixels; the limit is {max_pixels / 1e6:g}",
            "send a smaller image: the model reduces it anyway",
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "image"
        path.write_bytes(data)
        return read_image(path)
