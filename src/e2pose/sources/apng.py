"""Animated PNG files. FFmpeg decodes them, because OpenCV 5.0 ends the process on some damaged ones.

Source: the APNG specification (chunks `acTL`, `fcTL`, `fdAT`).
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from fractions import Fraction

import av
import numpy as np
from jaxtyping import UInt8

from e2pose.sources.image_format import png_chunks

_DEFAULT_DENOMINATOR = 100  # of a delay whose denominator is 0


def read_animated_png(data: bytes) -> Iterator[tuple[UInt8[np.ndarray, "h w 4"], float]]:
    """Decodes the frames as BGRA with their delays in seconds.

    Raises:
        av.FFmpegError: A frame cannot be decoded.
    """
    delays = (_delay_s(content) for kind, content in png_chunks(data) if kind == b"fcTL")
    with av.open(io.BytesIO(data), "r", format="apng") as container:
        for frame, delay_s in zip(container.decode(video=0), delays, strict=False):
            yield frame.to_ndarray(format="bgra"), delay_s


def first_image(data: bytes) -> bytes:
    """Returns a PNG without the chunks of an animation, so that only its first image is left."""
    kept, position = [data[:8]], 8
    while position < len(data):
        end = position + 12 + int.from_bytes(data[position : position + 4], "big")
        if data[position + 4 : position + 8] not in (b"acTL", b"fcTL", b"fdAT"):
            kept.append(data[position:end])
        position = end
    return b"".join(kept)


def _delay_s(frame_control: bytes) -> float:
    numerator, denominator = (int.from_bytes(frame_control[start : start + 2], "big") for start in (20, 22))
    return float(Fraction(numerator, denominator or _DEFAULT_DENOMINATOR))
