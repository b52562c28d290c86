"""The video stream of a file or network connection: its choice, its rate and its images."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from av.container import InputContainer
from av.container.core import Container
from av.sidedata.sidedata import SideData
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from jaxtyping import UInt8

from e2pose.core.errors import InputError
from e2pose.sources.encoded_image import blend_on_white
from e2pose.sources.orientation import UPRIGHT, Orientation, display_orientation

_DEFAULT_RATE = Fraction(25)
_MAX_GUESSED_RATE = 240
_MAX_PIXELS = 1 << 27  # slightly more than 16K, 15360 x 8640
_NO_TIMESTAMPS = 0x80  # Source: AVFMT_NOTIMESTAMPS in FFmpeg's avformat.h

DECODER_OPTIONS = {"max_pixels": str(_MAX_PIXELS)}
"""Options of video decoders; they also reject a size that changes within the video."""


def find_video_stream(container: InputContainer, name: str) -> VideoStream:
    """Returns the first video stream, ready to be decoded. The cover image of an audio file is not a video stream.

    Raises:
        InputError: There is no video stream, no decoder for it, or its frames are too large.
    """
    streams = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    if not streams:
        found = ", ".join(sorted({stream.type for stream in container.streams}))
        only = f", only {found}" if found else ""
        raise InputError(f"'{name}' contains no video stream{only}", "choose an image or a video")
    context = streams[0].codec_context
    if context is None:
        raise InputError(f"no decoder is available for the video '{name}'", "convert it to MP4 with H.264")
    width, height = context.width, context.height
    if width * height > _MAX_PIXELS:
        raise InputError(
            f"the frames of '{name}' have {width} x {height} pixels, more than the {_MAX_PIXELS} that can be read",
            "convert it to a smaller size; if its frames are smaller, the file is damaged",
        )
    context.options = dict(DECODER_OPTIONS)
    streams[0].thread_type = "AUTO"
    return streams[0]


def has_timestamps(container: Container) -> bool:
    """Returns whether the container stores when frames are displayed; AVI and bare streams of a codec do not."""
    return container.format.name != "avi" and not container.format.flags & _NO_TIMESTAMPS


def frame_rate(stream: VideoStream) -> Fraction:
    """Returns the frames per second that a stream states, otherwise 25."""
    average, guessed = stream.average_rate, stream.guessed_rate
    if not has_timestamps(stream.container):  # FFmpeg's average ignores the rate in the headers of the codec
        return guessed or average or _DEFAULT_RATE
    if average and guessed:
        return min(average, guessed)  # the higher one may be that of the ticks, or of fields
    if guessed and guessed > _MAX_GUESSED_RATE:  # the inverse of the smallest difference between two timestamps
        return _DEFAULT_RATE
    return average or guessed or _DEFAULT_RATE


def upright_rgb(frame: VideoFrame) -> UInt8[np.ndarray, "h w 3"]:
    """Returns the pixels of a decoded frame, rotated as its display matrix says, on white where it is transparent."""
    if any(component.is_alpha for component in frame.format.components):
        image = blend_on_white(frame.to_ndarray(format="rgba"))
    else:
        image = frame.to_ndarray(format="rgb24")
    return frame_orientation(frame).apply(image)


def frame_orientation(frame: VideoFrame) -> Orientation:
    """Returns the orientation in the display matrix of a decoded frame; upright if it has none."""
    try:
        matrix = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # PyAV 18 has no name for newer kinds of side data, such as the EXIF block of a JPEG
        return UPRIGHT
    if not isinstance(matrix, SideData):
        return UPRIGHT
    return display_orientation(np.frombuffer(bytes(matrix), np.int32))
