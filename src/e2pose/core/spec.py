"""How a model wants its input and how to read its output; travels inside every artifact."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args

from e2pose.core.errors import ModelError
from e2pose.core.schema import KeypointSchema

Fit = Literal["letterbox", "stretch"]

METADATA_KEY = "e2pose.spec"
"""The key under which every artifact carries its spec as JSON."""

PRECISION_KEY = "e2pose.precision"
"""The key under which an artifact says what it is to be computed in, if that is not f32."""


@dataclass(frozen=True)
class ModelSpec:
    """Everything that is needed to use a model besides its weights.

    Args:
        name: Short name of the model.
        input_size_hw: Height and width of the canvas in pixels.
        fit: How an image is laid onto the canvas.
        schema: What the keypoints are.
        threshold: A candidate below this person score is nobody, in [0, 1].
        keypoint_threshold: A keypoint below this score is not drawn, in [0, 1].
        keypoint_score_scale: Factor on the network's keypoint scores; 2 for the models of the original authors.
        multiple_of: Shorten a letterbox to sides that are multiples of so many pixels, where a picture does not reach;
            None for the whole canvas always.
        licence: SPDX identifier of the weights' licence.
        trained_on: Names of the data sets.

    Raises:
        ModelError: A value is out of range.
    """

    name: str
    input_size_hw: tuple[int, int]
    fit: Fit
    schema: KeypointSchema
    threshold: float = 0.4
    keypoint_threshold: float = 0.5
    keypoint_score_scale: float = 1.0
    multiple_of: int | None = None
    licence: str = "Apache-2.0"
    trained_on: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.fit not in get_args(Fit):
            raise ModelError(f"the fit of a model must be one of {', '.join(get_args(Fit))}, not '{self.fit}'")
        if len(self.input_size_hw) != 2 or min(self.input_size_hw) < 1:
            raise ModelError(f"the canvas of a model must have a positive height and width, not {self.input_size_hw}")
        for name in ("threshold", "keypoint_threshold"):
            if not 0 <= getattr(self, name) <= 1:
                raise ModelError(f"'{name}' must lie between 0 and 1, not {getattr(self, name)}")
        if not self.keypoint_score_scale > 0:
            raise ModelError(f"'keypoint_score_scale' must be above 0, not {self.keypoint_score_scale}")
        if self.multiple_of is not None:
            self._check_shortening(self.multiple_of)

    def _check_shortening(self, multiple_of: int) -> None:
        if self.fit != "letterbox":
            raise ModelError(f"only a letterbox can be shortened to a multiple of {multiple_of}, not a {self.fit}")
        if multiple_of < 1 or any(side % multiple_of for side in self.input_size_hw):
            raise ModelError(f"the sides of the canvas must be multiples of {multiple_of}, not {self.input_size_hw}")

    def with_input_size(self, input_size_hw: tuple[int, int] | None) -> ModelSpec:
        """The same model on another canvas; None for its own.

        Raises:
            ModelError: The model has a canvas of fixed size, or needs other multiples.
        """
        if input_size_hw is None or input_size_hw == self.input_size_hw:
            return self
        if self.multiple_of is None:
            height, width = self.input_size_hw
            raise ModelError(
                f"'{self.name}' takes canvases of {height} x {width} only, not of {input_size_hw[0]} x {input_size_hw[1]}",
                f"export the model for it: e2pose export MODEL --input-size {input_size_hw[0]} {input_size_hw[1]}",
            )
        return replace(self, input_size_hw=input_size_hw)

    def to_json(self) -> str:
        """The spec as one line of JSON: the inverse of `from_json`."""
        record = {field.name: getattr(self, field.name) for field in fields(self)}
        return json.dumps({**record, "schema": self.schema.to_record()})

    @staticmethod
    def from_json(text: str) -> ModelSpec:
        """Reads a spec from JSON.

        Raises:
            ModelError: The text is not the JSON of a spec.
        """
        try:
            record: dict[str, Any] = json.loads(text)
            record.setdefault("input_size_hw", record.pop("size_hw", None))  # until the bundled files are rewritten
            return ModelSpec(
                **{
                    **record,
                    "schema": KeypointSchema.from_record(record["schema"]),
                    "input_size_hw": tuple(record["input_size_hw"]),
                    "trained_on": tuple(record.get("trained_on", ())),
                }
            )
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ModelError(
                f"the model's description cannot be read: {error}",
                "export the model again with this version of e2pose",
            ) from error

    @staticmethod
    def from_metadata(metadata: Mapping[str, str], artifact: str) -> ModelSpec:
        """Reads the spec that an artifact carries.

        Args:
            metadata: Text entries of the artifact.
            artifact: Name of the artifact, for the message.

        Raises:
            ModelError: The artifact carries none.
        """
        if METADATA_KEY not in metadata:
            raise ModelError(
                f"'{artifact}' does not say how it wants its input: it has no entry '{METADATA_KEY}'",
                "only models written by e2pose can be used; write one with: e2pose export",
            )
        return ModelSpec.from_json(metadata[METADATA_KEY])
