"""Checks of the image files: presence, size, and duplicates."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import UInt8, UInt64

from e2pose.core.annotations import ImageAnnotation
from e2pose.core.errors import AnnotationError, E2PoseError, InputError
from e2pose.data.image_store import read_labelled_image
from e2pose.data.inspection.findings import Check, Problem, Subset

_HASH_SIDE = 16  # a difference hash has the square of this many bits
_MAX_HASH_DISTANCE = 12  # bits that may differ between near duplicates; unrelated images differ in about half
_CHUNK = 256

UNREADABLE = Check(
    "missing or unreadable image file",
    "A training omits the image, an evaluation stops. Restore the file, or remove the image from the labels.",
    is_error=True,
)
WRONG_SIZE = Check(
    "image size differs from the labels",
    "A training omits the image. Correct width and height in the labels, or scale the image.",
    is_error=True,
)
DUPLICATE = Check("duplicate image file", "Remove one of the two, unless the image should count twice.")
LEAK = Check(
    "same image file in different splits",
    "An evaluation on training images is invalid. Remove the image from one of the splits.",
    is_error=True,
)
NEAR_LEAK = Check(
    "nearly the same image in different splits",
    "Images of one scene in training and evaluation raise the measured accuracy. Keep them in one split.",
)


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """Identifies the content of an image."""

    subset: Subset
    name: str  # of the file
    digest: bytes  # of the file
    bits: UInt64[np.ndarray, "4"]  # difference hash of the pixels


def check_image_files(
    subsets: Sequence[Subset], progress: Callable[[int], None] | None
) -> tuple[list[dict[int, E2PoseError]], list[Fingerprint]]:
    """Reads every image once, as a training does; returns errors and fingerprints.

    Calls `progress` with the total number of images after each image.

    Returns:
        The errors of each subset by index of the image, and the fingerprints of all usable images.
    """
    entries = [
        (number, index, image)
        for number, subset in enumerate(subsets)
        for index, image in enumerate(subset.annotations.images)
    ]
    errors: list[dict[int, E2PoseError]] = [{} for _ in subsets]
    fingerprints: list[Fingerprint] = []
    with ThreadPoolExecutor() as pool:
        results = pool.map(lambda entry: _read(subsets[entry[0]], entry[2]), entries)
        for (number, index, _), result in zip(entries, results, strict=True):
            if isinstance(result, E2PoseError):
                errors[number][index] = result
            else:
                fingerprints.append(result)
            if progress is not None:
                progress(len(entries))
    return errors, fingerprints


def to_problem(error: E2PoseError) -> Problem:
    """Returns the problem that the error of an image file stands for."""
    return Problem(WRONG_SIZE if isinstance(error, AnnotationError) else UNREADABLE, error.message)


def find_duplicates(fingerprints: Sequence[Fingerprint]) -> Iterator[Problem]:
    """Yields images with equal files, and nearly equal images of different splits."""
    first: dict[bytes, Fingerprint] = {}
    for fingerprint in fingerprints:
        other = first.setdefault(fingerprint.digest, fingerprint)
        if other is not fingerprint:
            is_leak = fingerprint.subset.split != other.subset.split
            yield Problem(LEAK if is_leak else DUPLICATE, _pair(other, fingerprint))
    distinct = list(first.values())
    splits = sorted({one.subset.split for one in distinct})
    for index, split in enumerate(splits):
        ours = [one for one in distinct if one.subset.split == split]
        others = [one for one in distinct if one.subset.split in splits[index + 1 :]]
        for one, other in _find_near(ours, others):
            yield Problem(NEAR_LEAK, _pair(one, other))


def difference_hash(image: UInt8[np.ndarray, "h w 3"]) -> UInt64[np.ndarray, "4"]:
    """Returns 256 bits that barely change when an image is scaled, compressed or brightened a little.

    Each bit is set where one of 16 x 16 cells is brighter than its right neighbour.

    Source: hackerfactor.com/blog, "Kind of Like That", 2013.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (_HASH_SIDE + 1, _HASH_SIDE), interpolation=cv2.INTER_AREA)
    return np.packbits(small[:, :-1] > small[:, 1:]).view(np.uint64)


def _read(subset: Subset, image: ImageAnnotation) -> E2PoseError | Fingerprint:
    try:
        pixels = read_labelled_image(subset.folder, image)
        digest = hashlib.blake2b(subset.path(image).read_bytes(), digest_size=16).digest()
    except (AnnotationError, InputError) as error:
        return error
    return Fingerprint(subset, image.file_name, digest, difference_hash(pixels))


def _find_near(ours: Sequence[Fingerprint], others: Sequence[Fingerprint]) -> Iterator[tuple[Fingerprint, Fingerprint]]:
    """Yields pairs whose hashes differ in few bits."""
    if not others:
        return
    table = np.stack([one.bits for one in others])
    for start in range(0, len(ours), _CHUNK):
        chunk = ours[start : start + _CHUNK]
        differing = np.stack([one.bits for one in chunk])[:, None] ^ table
        distances = np.bitwise_count(differing).sum(axis=2, dtype=np.uint16)
        for row, column in np.argwhere(distances <= _MAX_HASH_DISTANCE):
            yield chunk[row], others[column]


def _pair(one: Fingerprint, other: Fingerprint) -> str:
    return f"{one.subset.name}: {one.name} = {other.subset.name}: {other.name}"
