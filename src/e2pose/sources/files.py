"""Image and video files as frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Self

from e2pose.core.errors import InputError
from e2pose.core.frame import Frame, Origin
from e2pose.sources.base import (
    ErrorHandler,
    NoticeHandler,
    SourceInfo,
    ignore_notice,
    raise_error,
    report_errors,
)
from e2pose.sources.encoded_image import CAN_DECODE_ANIMATIONS, EncodedImage
from e2pose.sources.image_count import count_images, gif_delays
from e2pose.sources.image_format import SIGNATURE_LENGTH, detect_format
from e2pose.sources.images import IMAGE_SUFFIXES, MAX_PIXELS, read_bytes
from e2pose.sources.video import VIDEO_SUFFIXES, VideoSource

KNOWN_SUFFIXES = IMAGE_SUFFIXES | VIDEO_SUFFIXES
"""Suffixes of files that are read from folders."""

_MULTIPLE_FORMATS = {"AVIF", "GIF", "PNG", "TIFF", "WebP"}
_STILL_SUFFIXES = IMAGE_SUFFIXES - {".apng", ".avif", ".png", ".tif", ".tiff", ".webp"}
_CONCATENATED_JPEG = (".mjpeg", ".mjpg")
_MAX_OPENED = 1000  # files of which the header is read to count their images, despite a suffix of still images
_HEADER_BYTES = 1 << 16  # contains the number of images of a PNG


class FilesSource:
    """The frames of image and video files, one file after the other, each opened when it is read.

    `on_error` receives the error of each file that cannot be read; the file is then skipped. `on_notice` receives a
    message for each file of which only a part is read.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        on_error: ErrorHandler = raise_error,
        on_notice: NoticeHandler = ignore_notice,
    ) -> None:
        self._paths = tuple(paths)
        self._on_error = on_error
        self._on_notice = on_notice

    @cached_property
    def info(self) -> SourceInfo:
        """The files and their number of frames, which is unknown if one of the videos does not state it."""
        trusts_suffix = len(self._paths) > _MAX_OPENED
        counts = [_frame_count(path, trusts_suffix=trusts_suffix) for path in self._paths]
        known = [count for count in counts if count is not None]
        return SourceInfo(sum(known) if len(known) == len(counts) else None, paths=self._paths)

    def __iter__(self) -> Iterator[Frame]:
        for path in self._paths:
            yield from report_errors(self._read(path), str(path), self._on_error)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        """Does nothing: the iterator closes each file."""

    def _read(self, path: Path) -> Iterator[Frame]:
        if _is_image(path):
            yield from read_frames(path, self._on_notice)
        else:
            with _open_video(path) as video:
                yield from video


def read_frames(path: Path, on_notice: NoticeHandler = ignore_notice) -> Iterator[Frame]:
    """Yields the images of a file: one still image, the pages of a TIFF, or the frames of an animation.

    Pages are still images with the index of the page and the time 0. Frames of an animation have times, as those of a
    video.

    Raises:
        InputError: The file does not exist, is damaged, is too large or is not an image in a supported format.
    """
    data = read_bytes(path)
    image = EncodedImage.open(data, str(path), MAX_PIXELS)
    if image.count == 1:
        yield Frame(image.first(), Origin(str(path), path, frame_count=1))
    elif image.format == "TIFF":
        origin = Origin(str(path), path, frame_count=image.count)
        yield from (Frame(page, origin, index) for index, page in enumerate(image.pages()))
    elif image.format == "GIF" and None not in gif_delays(data):
        with VideoSource(path) as video:  # FFmpeg joins an image without a delay with the next one
            yield from video
    elif image.format == "PNG" or CAN_DECODE_ANIMATIONS:
        yield from _animation(image, path)
    else:
        on_notice(f"skipped {image.count - 1} images of '{path}': only OpenCV 4.12 and later read animations")
        yield Frame(image.first(), Origin(str(path), path, frame_count=1))


def _animation(image: EncodedImage, path: Path) -> Iterator[Frame]:
    origin, time_s = None, 0.0
    for index, (rgb, delay_s) in enumerate(image.frames()):
        origin = origin or Origin(
            str(path), path, rate=1 / Fraction(delay_s).limit_denominator(1000), frame_count=image.count
        )
        yield Frame(rgb, origin, index, time_s)
        time_s = round(time_s + delay_s, 3)  # delays are multiples of a millisecond


def _is_image(path: Path) -> bool:
    """Returns whether a file is an image, by its first bytes, or by its suffix if they are unknown."""
    if path.suffix.lower() in _CONCATENATED_JPEG:
        return False
    try:
        with path.open("rb") as file:
            is_image = detect_format(file.read(SIGNATURE_LENGTH)) is not None
    except OSError:
        is_image = False  # opening the file reports the reason
    return is_image or path.suffix.lower() in IMAGE_SUFFIXES


def _open_video(path: Path) -> VideoSource:
    try:
        return VideoSource(path)
    except InputError as error:
        if path.suffix.lower() in VIDEO_SUFFIXES:
            raise
        raise InputError(
            f"'{path}' is neither an image nor a video in a supported format",
            f"supported are files such as {', '.join(sorted(KNOWN_SUFFIXES))}",
        ) from error


def _frame_count(path: Path, *, trusts_suffix: bool) -> int | None:
    if trusts_suffix and path.suffix.lower() in _STILL_SUFFIXES:
        return 1
    if _is_image(path):
        return _image_count(path)
    try:
        with _open_video(path) as video:
            return video.info.frame_count
    except Exception:  # reported when the file is read
        return 0


def _image_count(path: Path) -> int:
    try:
        with path.open("rb") as file:
            head = file.read(_HEADER_BYTES)
            image_format = detect_format(head) or ""
            reads_all = image_format in _MULTIPLE_FORMATS - {"PNG"}
            return count_images(head + file.read() if reads_all else head, image_format)
    except OSError:
        return 1  # reading the file reports the reason
