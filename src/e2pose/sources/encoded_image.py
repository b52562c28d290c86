"""Encoded images: checks of their headers, and their images as upright RGB."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any, Self

import av
import cv2
import numpy as np
from jaxtyping import UInt8

from e2pose.core.errors import InputError
from e2pose.sources.apng import first_image, read_animated_png
from e2pose.sources.heif_header import read_heif_header
from e2pose.sources.image_count import count_images, gif_delays, tiff_pages
from e2pose.sources.image_format import (
    CONVERTERS,
    FLOAT_FORMATS,
    SIGNATURE_LENGTH,
    detect_format,
    exif_block,
    is_complete,
)
from e2pose.sources.image_size import max_decoded_pixels, max_value, stored_size_hw
from e2pose.sources.orientation import EXIF_ORIENTATIONS, UPRIGHT, Orientation, exif_orientation
from e2pose.sources.tiff_header import is_camera_raw, page_data

Pixels = UInt8[np.ndarray, "h w 3"]
_Stored = np.ndarray[Any, np.dtype[Any]]

CAN_DECODE_ANIMATIONS = hasattr(cv2, "imdecodeanimation")  # since OpenCV 4.12
_BLOCK_BYTES = 1 << 28  # decoded frames of an animation that are kept in memory
_DEFAULT_DELAY_S = 0.1  # of a frame without a delay, as in web browsers
_CONVERT = "convert it to an 8-bit JPEG or PNG"
COPY_AGAIN = "copy or download the file again"


@dataclass(frozen=True)
class EncodedImage:
    """The content of an image file whose header has been checked. `EncodedImage.open` creates it."""

    data: bytes
    format: str
    what: str
    """Format and name, for error messages."""

    @classmethod
    def open(cls, data: bytes, name: str = "", max_pixels: int | None = None) -> Self:
        """Checks format, size and completeness from the header; `max_pixels` of None checks only the format.

        Raises:
            InputError: The image is truncated, has more than `max_pixels` pixels or is not in a supported format.
        """
        image_format = _detect(data, name)
        image = cls(data, image_format, _describe(image_format, name))
        if max_pixels is not None:
            image._check(max_pixels)
        return image

    @cached_property
    def size_hw(self) -> tuple[int, int]:
        """Height and width of the first image when it is upright, from the header.

        Raises:
            InputError: The header is incomplete, or states a size of 0.
        """
        size_hw = stored_size_hw(self.data, self.format)
        if size_hw is None:
            raise InputError(f"{self.what} is truncated or damaged: its header is incomplete", COPY_AGAIN)
        if min(size_hw) < 1:  # on which the PNG decoder prints to the terminal
            raise InputError(f"{self.what} has a width or height of 0", "export the image again")
        return size_hw[::-1] if self._orientation.transposed else size_hw

    @cached_property
    def count(self) -> int:
        """Number of pages or frames, at least 1."""
        return count_images(self.data, self.format)

    def first(self) -> Pixels:
        """Decodes the first image.

        Raises:
            InputError: It cannot be decoded.
        """
        return next(self.pages()) if self.format == "TIFF" else self._to_rgb(self._decode(self._still))

    def pages(self) -> Iterator[Pixels]:
        """Decodes the pages of a TIFF.

        Raises:
            InputError: A page cannot be decoded.
        """
        for page in tiff_pages(self.data):
            stored = _without_tiff_alpha(self._decode(page_data(self.data, page)), page.extra_sample)
            rgb = self._to_rgb(stored, UPRIGHT)
            yield EXIF_ORIENTATIONS.get(page.orientation, UPRIGHT).apply(rgb)

    def frames(self) -> Iterator[tuple[Pixels, float]]:
        """Decodes the frames of an animation with the seconds for which each is shown.

        Raises:
            InputError: A frame cannot be decoded; those before it are yielded.
        """
        frames = self._png_frames() if self.format == "PNG" else self._frames()
        for frame, delay_s in frames:
            yield self._to_rgb(frame), delay_s or _DEFAULT_DELAY_S

    def _png_frames(self) -> Iterator[tuple[_Stored, float]]:
        decoded = 0
        try:
            for frame in islice(read_animated_png(self.data), self.count):
                yield frame
                decoded += 1
        except av.FFmpegError as error:
            raise self._missing_images(decoded) from error
        if decoded < self.count:
            raise self._missing_images(decoded)

    def _frames(self) -> Iterator[tuple[_Stored, float]]:
        stated = gif_delays(self.data) if self.format == "GIF" else None  # OpenCV uses 1 s where none is stated
        height, width = self.size_hw
        block = max(1, _BLOCK_BYTES // (4 * height * width))
        for start in range(0, self.count, block):
            count = min(block, self.count - start)
            animation = self._decode_block(start, count)
            for index, (frame, delay_ms) in enumerate(zip(animation.frames, animation.durations, strict=True), start):
                yield frame, int(delay_ms) / 1000 if stated is None else (stated[index] or 0) / 100
            if len(animation.frames) != count:
                raise self._missing_images(start + len(animation.frames))

    @property
    def _still(self) -> bytes:
        return first_image(self.data) if self.format == "PNG" and b"acTL" in self.data else self.data

    @cached_property
    def _orientation(self) -> Orientation:
        if self.format == "AVIF":  # whose EXIF orientation is ignored
            return read_heif_header(self.data).orientation
        return exif_orientation(exif_block(self.data, self.format))

    def _check(self, max_pixels: int) -> None:
        if not is_complete(self.data, self.format):
            raise InputError(
                f"{self.what} is truncated or damaged: its end is missing after {len(self.data):,} bytes", COPY_AGAIN
            )
        height, width = self.size_hw
        pixels = max_decoded_pixels(self.data, self.format)
        if self.format == "AVIF" and pixels <= max_pixels:
            pixels = max(pixels, self._coded_pixels())
        if pixels > max_pixels:
            raise InputError(
                f"{self.what} has {width:,} x {height:,} pixels and needs memory for {pixels:,}; accepted are "
                f"{max_pixels:,}",
                "scale the image down before, or raise 'max_pixels' of e2pose.sources.images.decode_image",
            )

    def _coded_pixels(self) -> int:
        """Returns the pixels of the largest frame in the data of an AVIF, which may be more than its boxes state."""
        from av import FFmpegError  # takes long to import

        from e2pose.sources.av1_size import max_coded_pixels

        try:
            pixels = max_coded_pixels(self.data)
        except (FFmpegError, ValueError):
            pixels = 0
        if not pixels:
            raise InputError(f"{self.what} is truncated or damaged: its AV1 data are incomplete", COPY_AGAIN)
        return pixels

    def _decode(self, data: bytes) -> _Stored:
        """Decodes the stored pixels, with any bit depth, with alpha and not rotated.

        The fourth channel of a BMP is usually padding rather than alpha, so it is discarded.
        """
        flags = cv2.IMREAD_COLOR if self.format == "BMP" else cv2.IMREAD_UNCHANGED
        try:
            with quiet_opencv():
                stored = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
        except cv2.error as error:
            raise InputError(f"{self.what} cannot be decoded: {error.err}", _CONVERT) from error
        if stored is None or stored.size == 0:
            raise InputError(f"{self.what} cannot be decoded: it is damaged or uses an unsupported variant", _CONVERT)
        return stored

    def _decode_block(self, start: int, count: int) -> cv2.Animation:
        try:
            with quiet_opencv():
                _, animation = cv2.imdecodeanimation(np.frombuffer(self.data, np.uint8), start, count)
        except cv2.error as error:
            raise InputError(f"{self.what} cannot be decoded: {error.err}", _CONVERT) from error
        return animation

    def _missing_images(self, decoded: int) -> InputError:
        return InputError(
            f"{self.what} is truncated or damaged: only {decoded} of its {self.count} images can be decoded", COPY_AGAIN
        )

    def _to_rgb(self, stored: _Stored, orientation: Orientation | None = None) -> Pixels:
        if stored.dtype in (np.uint8, np.uint16):
            white = max_value(self.data, self.format) or int(np.iinfo(stored.dtype).max)
            stored = stored if white == 255 else cv2.convertScaleAbs(stored, alpha=255 / white)
        channels = 1 if stored.ndim == 2 else stored.shape[2]
        if stored.dtype != np.uint8 or channels not in (1, 3, 4):
            raise InputError(
                f"{self.what} has {channels} channels of {stored.dtype} values; supported are grey, RGB and RGBA with "
                "8 or 16 bits",
                "map its values to 8 bits" if stored.dtype.kind == "f" else _CONVERT,
            )
        if channels == 1:
            rgb = cv2.cvtColor(stored, cv2.COLOR_GRAY2RGB)
        elif channels == 3:
            rgb = cv2.cvtColor(stored, cv2.COLOR_BGR2RGB)
        else:
            rgb = blend_on_white(cv2.cvtColor(stored, cv2.COLOR_BGRA2RGBA))
        return (orientation or self._orientation).apply(rgb)


def blend_on_white(rgba: UInt8[np.ndarray, "h w 4"]) -> Pixels:
    """Returns an RGBA image blended on white, rounded to the nearest value."""
    colour, alpha = rgba[..., :3], rgba[..., 3:]
    if alpha.min() == 255:
        return np.ascontiguousarray(colour)
    opacity = alpha.astype(np.uint16)  # 255 * 255 + 127 fits into 16 bits
    return ((colour * opacity + 255 * (255 - opacity) + 127) // 255).astype(np.uint8)


def _without_tiff_alpha(stored: _Stored, extra_sample: int | None) -> _Stored:
    """Removes a fourth channel that is not alpha, and blends premultiplied colours on white.

    OpenCV multiplies 8-bit colours with the alpha channel, but not 16-bit colours.
    """
    if stored.ndim != 3 or stored.shape[2] != 4 or extra_sample is None:
        return stored
    if extra_sample == 1 or (extra_sample == 2 and stored.dtype == np.uint8):
        white = np.iinfo(stored.dtype).max
        blended = stored[..., :3].astype(np.uint32) + (white - stored[..., 3:])
        opaque: _Stored = np.minimum(blended, white).astype(stored.dtype)
        return opaque
    return np.ascontiguousarray(stored[..., :3]) if extra_sample == 0 else stored


@contextmanager
def quiet_opencv() -> Iterator[None]:
    """Suppresses OpenCV's own log messages, because an `InputError` reports the problem."""
    log = cv2.utils.logging if hasattr(cv2.utils, "logging") else cv2  # OpenCV 4 or 5
    level = log.getLogLevel()
    log.setLogLevel(0)
    try:
        yield
    finally:
        log.setLogLevel(level)


def _detect(data: bytes, name: str) -> str:
    image_format = detect_format(data[:SIGNATURE_LENGTH])
    what = f"'{name}'" if name else "the data"
    if image_format is None:
        raise InputError(
            f"{what} is not an image in a supported format",
            "supported formats are JPEG, PNG, WebP, BMP, TIFF, GIF, JPEG 2000, AVIF and PNM",
        )
    if image_format == "TIFF" and is_camera_raw(data):
        image_format = "camera raw"
    if image_format in CONVERTERS:
        raise InputError(
            f"{_describe(image_format, name)} cannot be read: {image_format} is not supported",
            f"convert it to JPEG, for example with: {CONVERTERS[image_format]}",
        )
    if image_format in FLOAT_FORMATS:
        raise InputError(
            f"{_describe(image_format, name)} has floating-point values; supported are 8 or 16 bits",
            "map its values to 8 bits",
        )
    return image_format


def _describe(image_format: str, name: str) -> str:
    return f"the {image_format} image '{name}'" if name else f"the {image_format} image"
