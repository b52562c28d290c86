"""`e2pose convert`: a model of the original authors as an ONNX file."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from e2pose.cli.opening import read_images
from e2pose.cli.terminal import print_message
from e2pose.core.errors import MissingExtraError, ModelError

MAX_IMAGES = 50


def convert(model: str, output: Path, /, *, name: str | None = None, images: tuple[str, ...] = ()) -> None:
    """Convert a frozen TensorFlow graph of E2Pose's authors to ONNX and verify it against TensorFlow.

    Args:
        model: A `frozen_model.pb` file, or a name from `e2pose models`, which is downloaded.
        output: Output `.onnx` file.
        name: Name of the model; by default the stem of the output.
        images: Compare both models on these images, folders or patterns; by default on synthetic scenes.
    """
    from e2pose.core.files import check_suffix, check_target
    from e2pose.zoo.authors import fetch_authors_model, read_authors_models

    is_known = model in read_authors_models() and not Path(model).exists()
    if not is_known and not Path(model).is_file():
        raise ModelError(
            f"there is no file '{model}', and it is not the name of a model of the original authors",
            "check the path, or list the names with: e2pose models",
        )
    check_suffix(output, ".onnx", "an ONNX model")
    check_target(output)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # suppresses advice for the developers of tf2onnx
    try:
        from e2pose.export.frozen_graph import convert_frozen_graph
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "tensorflow", "upstream") from error

    path = fetch_authors_model(model) if is_known else Path(model)
    deviation = convert_frozen_graph(
        path, output, name=name or (model if is_known else None), images=read_images(images, MAX_IMAGES)
    )
    print_message(
        f"written to {output}; it deviates from TensorFlow by at most {deviation.keypoint_px:.2g} px and "
        f"{deviation.score:.1g} in a score"
    )
