"""Image files with orientations, pages and frames, assembled byte by byte where no library writes them."""

import struct

import cv2
import numpy as np

from helpers.media import encode, with_exif

# For each EXIF orientation, the function from the upright image to the stored one.
STORED = {
    1: lambda image: image,
    2: np.fliplr,
    3: lambda image: np.rot90(image, 2),
    4: np.flipud,
    5: lambda image: image.transpose(1, 0, 2),
    6: lambda image: np.rot90(image, 1),
    7: lambda image: np.rot90(image, 2).transpose(1, 0, 2),
    8: lambda image: np.rot90(image, -1),
}
# The same in AVIF: quarter turns anticlockwise, then a mirror that exchanges top and bottom (0) or left and right (1).
AVIF_ORIENTATION = {
    1: (0, None),
    2: (0, 1),
    3: (2, None),
    4: (0, 0),
    5: (1, 0),
    6: (3, None),
    7: (3, 0),
    8: (1, None),
}
ORIENTED_FORMATS = ("jpg", "jpg big-endian", "png", "webp", "tif", "tif 16 bit", "tif strips", "tif big", "avif")


def oriented(image, kind, orientation):
    """An image file, one of `ORIENTED_FORMATS`, that shows `image` when its orientation is applied."""
    stored = np.ascontiguousarray(STORED[orientation](image))
    if kind == "avif":
        return avif(stored, *AVIF_ORIENTATION[orientation])
    if kind.startswith("tif"):
        deep = stored.astype(np.uint16) * 257 if kind == "tif 16 bit" else stored
        return tiff([deep], orientation=orientation, strip_rows=5 if "strips" in kind else None, is_big="big" in kind)
    suffix, _, order = kind.partition(" ")
    return with_exif(encode(stored, f".{suffix}"), orientation, ">" if order or suffix == "webp" else "<")


def avif(image, turns=0, mirror=None):
    """An AVIF of high quality whose optional properties "pixi" and "colr" may be replaced by an orientation."""
    data = bytearray(cv2.imencode(".avif", image[..., ::-1], (cv2.IMWRITE_AVIF_QUALITY, 95))[1].tobytes())
    associations = data.index(b"ipma") + 15
    for old, new, value, index in ((b"pixi", b"irot", turns, 2), (b"colr", b"imir", mirror, 4)):
        if value is not None:
            start = data.index(old)
            data[start : start + 5] = new + bytes([value])
            data[associations + index - 1] = 0x80 | index  # essential, as the standard requires
    return bytes(data)


def tiff(images, *, orientation=1, strip_rows=None, is_big=False, subfile_types=(), extra_sample=None):
    """A TIFF with one uncompressed page for each RGB image, or image with a fourth channel of this meaning."""
    offset = "Q" if is_big else "I"
    data = bytearray(struct.pack("<2sHHHQ", b"II", 43, 8, 0, 0) if is_big else struct.pack("<2sHI", b"II", 42, 0))
    link = 8 if is_big else 4  # where the offset of the next directory belongs

    def append(format_, *values):
        start = len(data)
        data.extend(struct.pack(f"<{format_}", *values))
        return start

    for number, image in enumerate(images):
        height, width = image.shape[:2]
        rows = strip_rows or height
        strips = [image[start : start + rows].tobytes() for start in range(0, height, rows)]
        starts = [append(f"{len(strip)}s", strip) for strip in strips]
        entries = {
            254: (4, [subfile_types[number] if subfile_types else 0]),
            256: (4, [width]),
            257: (4, [height]),
            258: (3, [8 * image.itemsize] * image.shape[2]),
            259: (3, [1]),
            262: (3, [2]),
            273: (4, starts),
            274: (3, [orientation]),
            277: (3, [image.shape[2]]),
            278: (4, [rows]),
            279: (4, list(map(len, strips))),
            **({} if extra_sample is None else {338: (3, [extra_sample])}),
        }
        packed = {}
        for tag, (kind, values) in entries.items():
            value = struct.pack(f"<{len(values)}{'H' if kind == 3 else 'I'}", *values)
            if len(value) > struct.calcsize(f"<{offset}"):
                value = struct.pack(f"<{offset}", append(f"{len(value)}s", value))
            packed[tag] = struct.pack(f"<HH{offset}", tag, kind, len(values)) + value.ljust(
                struct.calcsize(f"<{offset}"), b"\0"
            )
        directory = append("Q" if is_big else "H", len(packed))
        data[link : link + struct.calcsize(f"<{offset}")] = struct.pack(f"<{offset}", directory)
        data += b"".join(packed.values())
        link = append(offset, 0)
    return bytes(data)
