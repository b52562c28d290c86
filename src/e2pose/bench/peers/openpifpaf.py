# /// script
# requires-python = ">=3.11,<3.13"
# dependencies = [
#   "matplotlib==3.8.4",
#   "numpy==1.26.4",
#   "opencv-python-headless==4.11.0.86",
#   "pillow==12.0.0",
#   "pysparkling==0.6.0",
#   "python-json-logger==3.3.0",
#   "scipy==1.15.3",
#   "setuptools==80.9.0",
#   "torch==2.13.0",
#   "torchvision==0.28.0",
#   "wheel==0.45.1",
# ]
#
# [tool.e2pose-bench]
# name = "OpenPifPaf"
# licence = "AGPL-3.0"
# homepage = "https://openpifpaf.github.io"
# steps = [["pip", "install", "--no-build-isolation", "--no-deps", "openpifpaf==0.13.11"]]
# ///
"""OpenPifPaf shufflenetv2k16 with frames stretched to 512x512, as in the comparison by the authors of E2Pose.

It is compiled against the torch of its environment, which takes minutes. The package contains no weights, so they are
random. The decoder would assemble an excessive number of persons from random fields. Therefore all confidences are
nearly zero and no person is detected, so decoding takes less time than with real weights.
"""

from __future__ import annotations

from argparse import Namespace
from importlib.metadata import version

import numpy as np
from serve import HALF_PIXEL, Peer, Pose, Stopwatch, serve
from torch_on_cpu import prepare

BASE = "shufflenetv2k16"
LOW_LOGIT = -10.0
"""Logit of a confidence below every threshold."""


def load(options: Namespace) -> Peer:
    """Creates the predictor with random weights."""
    import cv2
    import torch

    prepare(options.threads)
    import openpifpaf
    from PIL import Image

    openpifpaf.network.Factory.base_name = BASE
    predictor = openpifpaf.Predictor(head_metas=openpifpaf.datasets.factory("cocokp").head_metas)
    for head in predictor.model.head_nets:
        for parameter, value in ((head.conv.weight, 0), (head.conv.bias, LOW_LOGIT)):
            fields = parameter.data.view(head.meta.n_fields, head.n_components, -1)
            fields[:, 1 : 1 + head.meta.n_confidences] = value

    def estimate(image: np.ndarray, watch: Stopwatch) -> list[Pose]:
        with watch("preprocess"):
            stretched = cv2.resize(image, (options.size, options.size), interpolation=cv2.INTER_LINEAR)
            pixels, _, meta = predictor.preprocess(Image.fromarray(stretched), [], None)
        with watch("network"):
            fields = predictor.processor.fields_batch(predictor.model, pixels[None])[0]
        with watch("postprocess"):
            annotations = [annotation.inverse_transform(meta) for annotation in predictor.processor(fields)]
            scale = np.array([image.shape[1], image.shape[0]]) / options.size
            return [to_pose(annotation.score, annotation.data, scale) for annotation in annotations]

    return Peer(
        estimate,
        name=f"OpenPifPaf {BASE} {options.size}",
        version=version("openpifpaf"),
        licence="AGPL-3.0",
        runtime=f"torch {torch.__version__}",
        random_weights=True,
        note="stretched to a square; confidences set to nearly zero, so decoding is faster than with real weights",
    )


def to_pose(score: float, triples: np.ndarray, scale: np.ndarray) -> Pose:
    """Converts a person in the stretched frame."""
    return Pose(score, np.column_stack([(triples[:, :2] + HALF_PIXEL) * scale, triples[:, 2]]).astype(float))


if __name__ == "__main__":
    serve(load, size=(512, 256, 320, 384, 448, 640))
