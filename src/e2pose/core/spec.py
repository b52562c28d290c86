"""The specification of a model, stored in every model file: its input and how its output is interpreted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args

from e2pose.core.arguments import check_count, check_number, check_share, check_type, show
from e2pose.core.errors import E2PoseError, ModelError
from e2pose.core.schema import KeypointSchema

Fit = Literal["letterbox", "stretch"]

METADATA_KEY = "e2pose.spec"
"""Metadata key of a model file for its spec as JSON."""

PRECISION_KEY = "e2pose.precision"
"""Metadata key of a model file for the precision that it was written for, if that is not f32."""

_MAX_SIDE = 16_384  # pixels; larger inputs exceed any memory
_HINT = "correct the value, or export the model again with this version of e2pose"


@dataclass(frozen=True)
class ModelSpec:
    """Everything needed to use a model besides its weights.

    Args:
        name: Short name of the model.
        input_size_hw: Height and width of the network's input in pixels.
        fit: How images are fitted to the input size: "letterbox" keeps the aspect ratio, "stretch" does not.
        schema: The keypoints.
        threshold: Minimum person score of a detection, in [0, 1].
        keypoint_threshold: Minimum score of a keypoint that is drawn, in [0, 1].
        keypoint_score_scale: Factor on the network's keypoint scores; 2 for the models of the original authors.
        multiple_of: The letterboxed input is cropped to multiples of this number of pixels where the image does not
            reach; None for a fixed input size.
        licence: SPDX identifier of the weights' licence.
        trained_on: Names of the training datasets.

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
        if not isinstance(self.fit, str) or self.fit not in get_args(Fit):
            raise ModelError(f"'fit' must be one of {', '.join(get_args(Fit))}, not {show(self.fit)}", _HINT)
        check_type("'schema'", self.schema, KeypointSchema, hint=_HINT, error=ModelError)
        object.__setattr__(self, "input_size_hw", check_size(self.input_size_hw))
        for name in ("threshold", "keypoint_threshold"):
            object.__setattr__(self, name, check_share(f"'{name}'", getattr(self, name), hint=_HINT, error=ModelError))
        scale = check_number("'keypoint_score_scale'", self.keypoint_score_scale, hint=_HINT, error=ModelError)
        if not scale > 0:
            raise ModelError(f"'keypoint_score_scale' must be above 0, not {self.keypoint_score_scale}", _HINT)
        if self.multiple_of is None:
            return
        multiple_of = check_count("'multiple_of'", self.multiple_of, 1, _MAX_SIDE, hint=_HINT, error=ModelError)
        object.__setattr__(self, "multiple_of", multiple_of)
        if self.fit != "letterbox":
            raise ModelError(f"'multiple_of' ({self.multiple_of}) requires the fit letterbox, not {self.fit}", _HINT)
        if any(side % self.multiple_of for side in self.input_size_hw):
            raise ModelError(
                f"both sides of the input size must be multiples of {self.multiple_of}, not {self.input_size_hw}",
                "choose the nearest multiples for height and width",
            )

    def with_input_size(self, input_size_hw: tuple[int, int] | None) -> ModelSpec:
        """Returns the spec with another input size; None keeps the current one.

        Raises:
            ModelError: The model has a fixed input size, or requires other multiples.
        """
        if input_size_hw is None:
            return self
        input_size_hw = check_size(input_size_hw)
        if input_size_hw == self.input_size_hw:
            return self
        height, width = input_size_hw
        if self.multiple_of is None:
            fixed_height, fixed_width = self.input_size_hw
            raise ModelError(
                f"'{self.name}' has a fixed input size of {fixed_height} x {fixed_width}, not {height} x {width}",
                f"export the model for this size: e2pose export MODEL --input-size {height} {width}",
            )
        return replace(self, input_size_hw=input_size_hw)

    def to_json(self) -> str:
        """Returns the spec as one line of JSON: the inverse of `from_json`."""
        record = {field.name: getattr(self, field.name) for field in fields(self)}
        return json.dumps({**record, "schema": self.schema.to_record()})

    @staticmethod
    def from_json(text: str) -> ModelSpec:
        """Reads a spec from JSON.

        Raises:
            ModelError: The text is not a spec.
        """
        try:
            record: dict[str, Any] = json.loads(check_type("a spec", text, str, hint=_HINT, error=ModelError))
            return ModelSpec(
                **{
                    **record,
                    "schema": KeypointSchema.from_record(record["schema"]),
                    "input_size_hw": tuple(record["input_size_hw"]),
                    "trained_on": tuple(record.get("trained_on", ())),
                }
            )
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ModelError(f"the model's spec cannot be read: {error}", _HINT) from error

    @staticmethod
    def from_metadata(metadata: Mapping[str, str], artifact: str) -> ModelSpec:
        """Reads the spec from the metadata of the model file `artifact`.

        Raises:
            ModelError: The metadata contain no valid spec.
        """
        if METADATA_KEY not in metadata:
            raise ModelError(
                f"'{artifact}' has no metadata entry '{METADATA_KEY}', so its input is unknown",
                "write a model file that e2pose can use with: e2pose export",
            )
        return ModelSpec.from_json(metadata[METADATA_KEY])


def check_size(input_size_hw: object, *, error: type[E2PoseError] = ModelError) -> tuple[int, int]:
    """Returns an input size as two whole numbers.

    Raises:
        ModelError: It is no height and width in pixels. `error` selects another class.
    """
    what = "the input size must be a height and a width in pixels"
    if not isinstance(input_size_hw, tuple | list) or len(input_size_hw) != 2:
        raise error(f"{what}, not {show(input_size_hw)}", "use two numbers, for example (320, 320)")
    hint = f"{what}, for example (320, 320)"
    height, width = (
        check_count("each side of the input size", side, 1, _MAX_SIDE, hint=hint, error=error) for side in input_size_hw
    )
    return height, width
