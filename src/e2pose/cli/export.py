"""`e2pose export`: trained weights to a file that runs without torch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

from e2pose.cli.terminal import say
from e2pose.core.errors import MissingExtraError


def export(
    weights: Path,
    output: Path,
    /,
    *,
    precision: Literal["f32", "f16"] = "f32",
    name: str | None = None,
    canvas: tuple[int, int] | None = None,
    threshold: float | None = None,
    pictures: tuple[str, ...] = (),
) -> None:
    """Write trained weights as an ONNX model, checked against the network it comes from.

    Name, canvas and threshold are those that come with the weights, unless others are given.

    Args:
        weights: A `.safetensors` file from a training.
        output: The `.onnx` file to write.
        precision: f16 halves the file; it computes in f32 all the same.
        name: What the model is called.
        canvas: Height and width of the canvas, multiples of 32; more finds smaller people and takes longer.
        threshold: Below this person score the model sees nobody, unless asked otherwise.
        pictures: Compare the file and the network on these pictures, folders or patterns; on noise if not given.
    """
    try:
        from e2pose.export.onnx import export_onnx
        from e2pose.models.artifact import load_weights
        from e2pose.sources.open import open_source
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "torch", "train") from error

    network, spec = load_weights(weights)
    spec = replace(
        spec,
        name=name or spec.name,
        size_hw=canvas or spec.size_hw,
        threshold=spec.threshold if threshold is None else threshold,
    )
    with open_source(pictures) as source:
        images = [frame.image for frame in source]
    deviation = export_onnx(network, spec, output, precision=precision, images=images)
    say(
        f"written to {output}; the file deviates from the network by at most "
        f"{deviation.keypoint_px:.2g} px and {deviation.score:.1g} in a score"
    )
