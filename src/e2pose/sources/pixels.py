"""Decoded pixels as upright RGB without alpha."""

from __future__ import annotations

import numpy as np
from av.sidedata.sidedata import SideData
from av.video.frame import VideoFrame
from jaxtyping import UInt8

from e2pose.sources.orientation import UPRIGHT, Orientation, display_orientation


def on_white(rgba: UInt8[np.ndarray, "h w 4"]) -> UInt8[np.ndarray, "h w 3"]:
    """Lays a picture with alpha on white, rounded to the nearest value."""
    colour, alpha = rgba[..., :3], rgba[..., 3:]
    if alpha.min() == 255:
        return np.ascontiguousarray(colour)
    opacity = alpha.astype(np.uint16)  # 255 * 255 + 127 fits into 16 bits
    return ((colour * opacity + 255 * (255 - opacity) + 127) // 255).astype(np.uint8)


def upright_rgb(picture: VideoFrame) -> UInt8[np.ndarray, "h w 3"]:
    """The pixels of a decoded frame of a video, turned as its display matrix says."""
    if any(component.is_alpha for component in picture.format.components):
        image = on_white(picture.to_ndarray(format="rgba"))
    else:
        image = picture.to_ndarray(format="rgb24")
    return _orientation(picture).apply(image)


def is_turned(picture: VideoFrame) -> bool:
    """Whether the display matrix makes columns of the rows."""
    return _orientation(picture).transposed


def _orientation(picture: VideoFrame) -> Orientation:
    matrix = picture.side_data.get("DISPLAYMATRIX")
    if not isinstance(matrix, SideData):
        return UPRIGHT
    return display_orientation(np.frombuffer(bytes(matrix), np.int32))
