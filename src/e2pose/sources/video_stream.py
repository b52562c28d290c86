"""Decoding steps that video files and network streams share."""

from __future__ import annotations

import numpy as np
from av.container import InputContainer
from av.sidedata.sidedata import SideData
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from jaxtyping import UInt8

from e2pose.core.errors import InputError
from e2pose.sources.encoded_image import blend_on_white
from e2pose.sources.orientation import UPRIGHT, Orientation, display_orientation


def find_video_stream(container: InputContainer, name: str) -> VideoStream:
    """Returns the first video stream, ready to be decoded. The cover image of an audio file is not a video stream.

    Raises:
        InputError: There is no video stream, or no decoder for it.
    """
    streams = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    if not streams:
        found = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
        raise InputError(f"'{name}' contains no video stream, only {found}", "choose an image or a video")
    if streams[0].codec_context is None:
        raise InputError(f"no decoder is available for the video '{name}'", "convert it to MP4 with H.264")
    streams[0].thread_type = "AUTO"
    return streams[0]


def upright_rgb(frame: VideoFrame) -> UInt8[np.ndarray, "h w 3"]:
    """Returns the pixels of a decoded frame, rotated as its display matrix says, on white where it is transparent."""
    if any(component.is_alpha for component in frame.format.components):
        image = blend_on_white(frame.to_ndarray(format="rgba"))
    else:
        image = frame.to_ndarray(format="rgb24")
    return frame_orientation(frame).apply(image)


def frame_orientation(frame: VideoFrame) -> Orientation:
    """Returns the orientation in the display matrix of a decoded frame; upright if it has none."""
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if not isinstance(matrix, SideData):
        return UPRIGHT
    return display_orientation(np.frombuffer(bytes(matrix), np.int32))
