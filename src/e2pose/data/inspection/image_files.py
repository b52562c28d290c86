"""Picture files: whether they are there, as large as the labels say, and all different."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import UInt8, UInt64

from e2pose.core.annotations import ImageAnnotation
from e2pose.core.errors import InputError
from e2pose.data.inspection.findings import Part, Problem
from e2pose.sources.images import read_image

_SIDE = 16  # a fingerprint has the square of so many bits
_NEAR = 12  # bits that may differ between two copies of a picture; of unrelated ones about half do
_CHUNK = 256

UNREADABLE = "missing or unreadable file"
OTHER_SIZE = "size differs from the labels"
COPY = "same file twice"
COPY_ACROSS = "same file in what is learned and what is held out"
NEAR_ACROSS = "near copy in what is learned and what is held out"


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """What tells one picture from another.

    Args:
        part: Index of the part that it belongs to.
        name: The file.
        digest: Of the file's bytes.
        bits: Whether each of 16 x 16 places is brighter than its right neighbour.
    """

    part: int
    name: str
    digest: bytes
    bits: UInt64[np.ndarray, "4"]


def read_pictures(
    parts: Sequence[Part], progress: Callable[[int], None] | None
) -> tuple[list[list[Problem]], list[Fingerprint]]:
    """Reads every picture once.

    Args:
        parts: Labelled images.
        progress: Told the total after each picture.

    Returns:
        The problems of each part, and the fingerprints of all pictures that can be read.
    """
    wanted = [(index, part, image) for index, part in enumerate(parts) for image in part.dataset.images]
    problems: list[list[Problem]] = [[] for _ in parts]
    prints: list[Fingerprint] = []
    with ThreadPoolExecutor() as pool:
        answers = pool.map(lambda entry: _read(*entry), wanted)
        for (index, _, _), answer in zip(wanted, answers, strict=True):
            if isinstance(answer, Problem):
                problems[index].append(answer)
            else:
                prints.append(answer)
            if progress is not None:
                progress(len(wanted))
    return problems, prints


def copies(parts: Sequence[Part], prints: Sequence[Fingerprint]) -> Iterator[Problem]:
    """Pictures that are there more than once: the same file anywhere, or nearly the same on different sides."""
    first: dict[bytes, Fingerprint] = {}
    for one in prints:
        other = first.setdefault(one.digest, one)
        if other is not one:
            across = parts[one.part].side != parts[other.part].side
            yield Problem(COPY_ACROSS if across else COPY, _both(parts, other, one), is_error=across)
    distinct = list(first.values())
    sides = sorted({parts[one.part].side for one in distinct})
    for index, side in enumerate(sides):
        here = [one for one in distinct if parts[one.part].side == side]
        there = [one for one in distinct if parts[one.part].side in sides[index + 1 :]]
        for one, other in _near(here, there):
            yield Problem(NEAR_ACROSS, _both(parts, one, other))


def fingerprint_bits(picture: UInt8[np.ndarray, "h w 3"]) -> UInt64[np.ndarray, "4"]:
    """Bits that stay the same when a picture is scaled, compressed or made a little brighter.

    Source: the difference hash, hackerfactor.com/blog, "Kind of Like That", 2013.
    """
    small = cv2.resize(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), (_SIDE + 1, _SIDE), interpolation=cv2.INTER_AREA)
    return np.packbits(small[:, :-1] > small[:, 1:]).view(np.uint64)


def _read(index: int, part: Part, image: ImageAnnotation) -> Problem | Fingerprint:
    path = part.path(image)
    try:
        picture = read_image(path)
        digest = hashlib.blake2b(path.read_bytes(), digest_size=16).digest()
    except InputError as error:
        return Problem(UNREADABLE, error.message, is_error=True)
    height, width = picture.shape[:2]
    if (height, width) != image.size_hw:
        labels = f"{image.size_hw[1]}x{image.size_hw[0]}"
        return Problem(OTHER_SIZE, f"{image.file_name}: {width}x{height}, but {labels} in the labels", is_error=True)
    return Fingerprint(index, image.file_name, digest, fingerprint_bits(picture))


def _near(here: Sequence[Fingerprint], there: Sequence[Fingerprint]) -> Iterator[tuple[Fingerprint, Fingerprint]]:
    """Pairs whose bits differ in few places."""
    if not there:
        return
    table = np.stack([one.bits for one in there])
    for start in range(0, len(here), _CHUNK):
        chunk = here[start : start + _CHUNK]
        differing = np.stack([one.bits for one in chunk])[:, None] ^ table
        distances = np.bitwise_count(differing).sum(axis=2, dtype=np.uint16)
        for row, column in np.argwhere(distances <= _NEAR):
            yield chunk[row], there[column]


def _both(parts: Sequence[Part], one: Fingerprint, other: Fingerprint) -> str:
    return f"{parts[one.part].name}: {one.name} = {parts[other.part].name}: {other.name}"
