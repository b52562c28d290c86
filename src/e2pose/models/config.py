"""The configuration of a network: one record in recipes, checkpoints and the metadata of model files."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

Backbone = Literal[
    "mobilenetv2",
    "mobilenetv2_150",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnet50_v1",
    "resnet101_v1",
    "resnet152_v1",
]
"""Names of the backbones: `mobilenetv2_150` has 1.5 times the channels; ResNets `_v1` have their strides in conv1."""

Positive = Annotated[int, Field(gt=0)]
NonNegative = Annotated[int, Field(ge=0)]
FalseIsNone = BeforeValidator(lambda value: None if value is False else value)
"""TOML has no null, so `refinement = false` turns the part off."""

_FINEST_STRIDES = (4, 8, 16, 32)
_COARSEST_OF_BACKBONE = 32


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FineRefinementConfig(_Record):
    """Refinement on an offset map of stride 4; see `e2pose.models.fine_features`."""

    steps: Positive = 2
    """How often the map is applied to each keypoint."""
    num_large_kernel_blocks: tuple[NonNegative, NonNegative] = (3, 1)
    """Blocks on the finest pyramid level and in the coarse refinement; see `e2pose.models.large_kernel`."""
    half_resolution_branch: bool = False
    """Process the image at half its resolution too; see `e2pose.models.half_resolution`."""


class RefinementConfig(_Record):
    """Refinement of keypoints by offset maps; see `e2pose.models.refinement`."""

    steps: Positive = 2
    """How often the coarse map, of half the finest stride, is applied to each keypoint."""
    fine: Annotated[FineRefinementConfig | None, FalseIsNone] = None
    """A second map, of stride 4, applied after the first; None or false for none."""


class NetworkConfig(_Record):
    """The layers of a network.

    The number of keypoints is not part of it: it comes from the keypoint schema of the model.
    """

    backbone: Backbone = "mobilenetv2"
    strides: tuple[int, ...] = (32, 64, 128, 256, 512)
    """Cell sizes of the pyramid levels in input pixels, from fine to coarse, each twice the previous one. Each cell
    yields one candidate; the default yields 341 candidates for an input of 512x512, as in the published models."""
    width: Positive = 256
    """Channels of pyramid and head."""
    head_depth: NonNegative = 1
    """Number of 3x3 convolutions in the head."""
    refinement: Annotated[RefinementConfig | None, FalseIsNone] = None
    """Our extension of the published network; None or false for the published network."""

    @field_validator("strides")
    @classmethod
    def _check_strides(cls, strides: tuple[int, ...]) -> tuple[int, ...]:
        doubles = all(coarse == 2 * fine for fine, coarse in pairwise(strides))
        if not strides or strides[0] not in _FINEST_STRIDES or strides[-1] < _COARSEST_OF_BACKBONE or not doubles:
            raise ValueError(
                f"strides must start at 4, 8, 16 or 32, double from level to level and reach 32, not {list(strides)}"
            )
        return strides

    def with_defaults(self, other: NetworkConfig) -> NetworkConfig:
        """Returns this configuration with every value that was not set explicitly taken from another one."""
        return NetworkConfig.model_validate(_merge(other.model_dump(), self.model_dump(exclude_unset=True)))


def _merge(base: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Returns nested tables with the values of `changes` in place of those of `base`."""
    merged = dict(base)
    for name, value in changes.items():
        old = base.get(name)
        merged[name] = _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged
