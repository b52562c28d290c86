"""Preprocessing: from images to the network's input."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

from e2pose.core.candidates import Batch
from e2pose.core.spec import ModelSpec
from e2pose.transforms.fit import fit_affine, input_size_for
from e2pose.transforms.warp import warp


def preprocess(images: Sequence[UInt8[np.ndarray, "_ _ 3"]], spec: ModelSpec) -> Batch:
    """Fits RGB images of any sizes, at least one, to the network's input.

    A letterboxed input that may be cropped is as large as the largest image requires.
    """
    heights, widths = zip(*(input_size_for(image.shape[:2], spec) for image in images), strict=True)
    input_size_hw = max(heights), max(widths)
    to_input = [fit_affine(image.shape[:2], input_size_hw, spec.fit) for image in images]
    inputs = [warp(image, affine, input_size_hw) for image, affine in zip(images, to_input, strict=True)]
    pixels = np.ascontiguousarray(np.stack(inputs).transpose(0, 3, 1, 2))
    return Batch(pixels, tuple(affine.inverse for affine in to_input))
