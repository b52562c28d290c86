# /// script
# requires-python = ">=3.11"
# dependencies = []
#
# [tool.e2pose-bench]
# name = "e2pose"
# licence = "Apache-2.0"
# environment = "this"
# ///
"""A model of e2pose, in the environment that the bench itself runs in.

Its threshold is the one that `e2pose evaluate` uses, and like there the best 20 poses count: average precision needs
the doubtful ones too.
"""

from __future__ import annotations

from argparse import Namespace

import numpy as np
from serve import Peer, Pose, Stopwatch, serve


def load(options: Namespace) -> Peer:
    """Opens the model."""
    from importlib.metadata import version

    import cv2

    from e2pose.evaluation.evaluate import EVALUATION_THRESHOLD
    from e2pose.evaluation.matching import MAX_DETECTIONS
    from e2pose.inference.decode import decode
    from e2pose.inference.preprocess import preprocess
    from e2pose.runtimes.options import RuntimeOptions
    from e2pose.runtimes.select import RUNTIMES, open_runtime
    from e2pose.zoo.catalogue import read_catalogue, resolve_model

    cv2.setNumThreads(options.threads)
    path, catalogue_size = resolve_model(options.model, RUNTIMES[options.runtime or "onnxruntime"].suffixes)
    input_size = tuple(map(int, options.input_size.split("x"))) if options.input_size else catalogue_size
    runtime = open_runtime(
        path,
        RuntimeOptions(
            options.runtime or None, precision=options.precision or None, input_size=input_size, threads=options.threads
        ),
    )

    def estimate(image: np.ndarray, watch: Stopwatch) -> list[Pose]:
        with watch("preprocess"):
            batch = preprocess([image], runtime.spec)
        with watch("network"):
            candidates = runtime(batch.pixels)
        with watch("postprocess"):
            poses = decode(candidates, batch, runtime.spec, threshold=EVALUATION_THRESHOLD)[0][:MAX_DETECTIONS]
            triples = np.concatenate([poses.keypoints, poses.keypoint_scores[..., None]], axis=-1)
            return [Pose(float(score), one) for score, one in zip(poses.scores, triples, strict=True)]

    known = {"default", *read_catalogue()[0]}
    name = options.model if options.model in known else runtime.spec.name
    library, _, rest = runtime.description.partition(" on ")
    return Peer(
        estimate,
        name=f"e2pose {name}" + (f" {options.input_size}" if options.input_size else ""),
        version=version("e2pose"),
        licence=runtime.spec.licence,
        runtime=library,
        precision=rest.partition(" in ")[2].partition(",")[0],
        weights=[path, *(one for one in [path.with_suffix(".bin")] if path.suffix == ".xml")],
        keypoints=runtime.spec.schema.keypoints,
    )


if __name__ == "__main__":
    serve(
        load,
        model=("default",),
        runtime=("", "onnxruntime", "openvino", "torch"),
        precision=("", "f32", "f16", "bf16"),
        input_size=("",),
    )
