"""`e2pose convert`: a model of the original authors to one of ours."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from e2pose.cli.opening import read_images
from e2pose.cli.terminal import print_message
from e2pose.core.errors import MissingExtraError

MOST_PICTURES = 50


def convert(model: str, output: Path, /, *, name: str | None = None, pictures: tuple[str, ...] = ()) -> None:
    """Turn a frozen TensorFlow graph of E2Pose's authors into an ONNX model, checked against TensorFlow.

    Args:
        model: A `frozen_model.pb` file, or a name that `e2pose models` lists, which is fetched.
        output: The `.onnx` file to write.
        name: What the model is called; if not given, it has the name of the output.
        pictures: Compare both on these pictures, folders or patterns; on a few scenes if not given.
    """
    from e2pose.zoo.authors import fetch_authors_model, read_authors_models

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it has advice for whoever wrote tf2onnx
    try:
        from e2pose.export.upstream import convert_upstream
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "tensorflow", "upstream") from error

    known = model in read_authors_models() and not Path(model).exists()
    path = fetch_authors_model(model) if known else Path(model)
    images = read_images(pictures, MOST_PICTURES)
    deviation = convert_upstream(path, output, name=name or (model if known else None), images=images)
    print_message(
        f"written to {output}; it deviates from TensorFlow by at most {deviation.keypoint_px:.2g} px and "
        f"{deviation.score:.1g} in a score"
    )
