"""Initial weights from another model, which may have other keypoints or other layers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from e2pose.core.errors import ModelError
from e2pose.core.schema import KeypointSchema
from e2pose.models.paper import E2Pose
from e2pose.models.weights import load_config, load_weights
from e2pose.training.recipe import Recipe
from e2pose.zoo.catalogue import resolve_model

_HEAD_OUTPUT = "head.output."
_OFFSET_MAPS = ("coarse_refinement.output.", "fine_refinement.output.", "fine_refinement.coarse.")


@dataclass(frozen=True)
class WarmStart:
    """Names of the loaded and of the other weights; those of keypoints are loaded for the common keypoints."""

    loaded: tuple[str, ...]
    skipped: tuple[str, ...]  # missing in the other model, or of another shape there
    new_keypoints: tuple[str, ...]  # missing in the other model

    def describe(self) -> str:
        """Returns a summary for the user."""
        parts = sorted({".".join(name.split(".")[:2]) for name in self.skipped})
        lines = [f"loaded {len(self.loaded)} of {len(self.loaded) + len(self.skipped)} weights"]
        if parts:
            lines.append(f"not {', '.join(parts)}")
        if self.new_keypoints:
            lines.append(f"new keypoints: {', '.join(self.new_keypoints)}")
        return "; ".join(lines)


def resolve_weights(name_or_path: str) -> Path:
    """Returns the `.safetensors` file of a model: a name from the catalogue, or a path."""
    return resolve_model(name_or_path, (".safetensors",)).path


def with_initial_network(recipe: Recipe, model: Path | None = None) -> Recipe:
    """Returns the recipe with the network settings that it omits from the model of `initial.weights`, if it names one.

    `model` is a file with weights of the same network, which is read instead of the named model.
    """
    if recipe.initial.weights is None:
        return recipe
    config = load_config(model or resolve_weights(recipe.initial.weights))
    return recipe.model_copy(update={"network": recipe.network.with_defaults(config)})


def warm_start(network: E2Pose, schema: KeypointSchema, path: Path) -> WarmStart:
    """Loads all weights of a `.safetensors` model that fit into a network, matching keypoints by name.

    The other weights of the network stay as they are.

    Raises:
        ModelError: The model cannot be read, or has another backbone.
    """
    other, spec = load_weights(path)
    if other.config.backbone != network.config.backbone:
        raise ModelError(
            f"'{path}' has the backbone {other.config.backbone}, but the recipe has {network.config.backbone}",
            "set network.backbone to that of the model, or start without initial.weights",
        )
    source, target = other.state_dict(), network.state_dict()
    common = [name for name in schema.keypoints if name in spec.schema.keypoints]
    here = [schema.keypoints.index(name) for name in common]
    there = [spec.schema.keypoints.index(name) for name in common]
    channels = {
        _HEAD_OUTPUT: (_head_channels(here, len(schema)), _head_channels(there, len(spec.schema))),
        **dict.fromkeys(_OFFSET_MAPS, (_xy_channels(here), _xy_channels(there))),
    }
    loaded = []
    for name, value in target.items():
        prefix = next((prefix for prefix in channels if name.startswith(prefix)), None)
        if prefix is None and name in source and source[name].shape == value.shape:
            value.copy_(source[name])
            loaded.append(name)
        elif prefix is not None and len(channels[prefix][0]) and _has_same_inputs(source, target, f"{prefix}weight"):
            ours, theirs = channels[prefix]
            value[ours] = source[name][theirs]
            loaded.append(name)
    skipped = [name for name in target if name not in loaded]
    new = [name for name in schema.keypoints if name not in common]
    return WarmStart(tuple(loaded), tuple(skipped), tuple(new))


def _has_same_inputs(source: dict[str, Tensor], target: dict[str, Tensor], name: str) -> bool:
    """Returns whether two kernels differ at most in the number of output channels."""
    return name in source and source[name].shape[1:] == target[name].shape[1:]


def _head_channels(keypoints: list[int], num_keypoints: int) -> Tensor:
    """Returns the head's output channels of the person, the given keypoints and the centre.

    The order is that of `PoseHead`: person, keypoint scores, centre, offsets.
    """
    scores = [1 + index for index in keypoints]
    center = 1 + num_keypoints
    offsets = (center + 2 + _xy_channels(keypoints)).tolist()
    return torch.tensor([0, *scores, center, center + 1, *offsets])


def _xy_channels(keypoints: list[int]) -> Tensor:
    """Returns the channels of x and y of the given keypoints in an offset map."""
    return torch.tensor([2 * index + axis for index in keypoints for axis in (0, 1)], dtype=torch.long)
