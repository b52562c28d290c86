"""Whether training images may be mirrored: a flip mixes left and right of keypoints that have no flip pair."""

from __future__ import annotations

from e2pose.core.schema import KeypointSchema
from e2pose.data.config import AugmentConfig


def resolve_flip(augment: AugmentConfig, schema: KeypointSchema) -> AugmentConfig:
    """Returns the configuration with the flip chance 0 if it is "auto" and a flip would, or could, mix sides."""
    return augment if augment.flip != "auto" or _find_risk(schema) is None else augment.model_copy(update={"flip": 0.0})


def describe_mirroring(augment: AugmentConfig, schema: KeypointSchema) -> list[str]:
    """Returns a line if training images are not mirrored, or although they should not be."""
    risk = _find_risk(schema)
    if risk is None:
        return []
    if augment.flip == "auto":
        return [f"training images are not mirrored, because {risk}"]
    return [f"augment.flip is {augment.flip:g}, although {risk}"] if augment.flip else []


def _find_risk(schema: KeypointSchema) -> str | None:
    """Returns why a flip could mix left and right; None if every keypoint with a side has a partner."""
    if unpaired := schema.unpaired_sides():
        return f"these keypoints have a side but no partner: {', '.join(unpaired)}"
    if all(index == partner for index, partner in enumerate(schema.flip)):
        return "the keypoints have no flip pairs"
    return None
