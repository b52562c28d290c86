# /// script
# requires-python = ">=3.11"
# dependencies = []
#
# [tool.e2pose-bench]
# name = "e2pose"
# licence = "Apache-2.0"
# environment = "this"
# ///
"""An e2pose model, in the environment of the bench.

As in `e2pose evaluate`, the threshold is 0.01 and the 20 poses with the highest scores of a frame are used, because
average precision includes poses with low scores.
"""

from __future__ import annotations

from argparse import Namespace

import numpy as np
from serve import Peer, Pose, Stopwatch, serve


def load(options: Namespace) -> Peer:
    """Loads the model."""
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
    input_size = parse_size(options.input_size) if options.input_size else catalogue_size
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
            return [Pose(score, keypoints) for score, keypoints in zip(poses.scores, triples, strict=True)]

    is_catalogue_name = options.model in {"default", *read_catalogue()[0]}
    name = options.model if is_catalogue_name else runtime.spec.name
    library, _, rest = runtime.description.partition(" on ")
    return Peer(
        estimate,
        name=f"e2pose {name}" + (f" {options.input_size}" if options.input_size else ""),
        version=version("e2pose"),
        licence=runtime.spec.licence,
        runtime=library,
        precision=rest.partition(" in ")[2].partition(",")[0],
        weights=[path, path.with_suffix(".bin")] if path.suffix == ".xml" else [path],
        keypoints=runtime.spec.schema.keypoints,
    )


def parse_size(text: str) -> tuple[int, int]:
    """Parses HEIGHTxWIDTH."""
    height, x, width = text.partition("x")
    if not (x and height.isdecimal() and width.isdecimal()):
        raise ValueError(f"input-size must be HEIGHTxWIDTH, such as 224x320, not '{text}'")
    return int(height), int(width)


if __name__ == "__main__":
    serve(
        load,
        model=("default",),
        runtime=("", "onnxruntime", "openvino", "torch"),
        precision=("", "f32", "f16", "bf16"),
        input_size=("",),
    )
