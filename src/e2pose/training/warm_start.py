"""Starting from the weights of another model, also of other keypoints or with other parts."""

from __future__ import annotations

from collections.abc import Mapping
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

_OUTPUT = "head.output."
_OFFSET_MAPS = ("coarse_refinement.output.", "fine_refinement.output.", "fine_refinement.coarse.")


@dataclass(frozen=True)
class Inheritance:
    """What a network took over from another one.

    Args:
        taken: Names of weights that were taken over, all or, for keypoints in common, in part.
        left: Names of weights that the other network does not have, or not in this shape.
        keypoints: Names of keypoints that were taken over.
        new_keypoints: Names of keypoints that the other network does not know.
    """

    taken: tuple[str, ...]
    left: tuple[str, ...]
    keypoints: tuple[str, ...]
    new_keypoints: tuple[str, ...]

    def describe(self) -> str:
        """The same in a sentence or two, for people."""
        parts = sorted({".".join(name.split(".")[:2]) for name in self.left})
        lines = [f"took over {len(self.taken)} of {len(self.taken) + len(self.left)} weights"]
        if parts:
            lines.append(f"not {', '.join(parts)}")
        if self.new_keypoints:
            lines.append(f"new keypoints: {', '.join(self.new_keypoints)}")
        return "; ".join(lines)


def find_weights(name_or_path: str) -> Path:
    """The file of a model to start from: a name from the catalogue, or a path.

    Raises:
        ModelError: There is no such model, or it cannot be fetched.
    """
    return resolve_model(name_or_path, (".safetensors",)).path


def as_in_model(recipe: Recipe, model: Path | None = None) -> Recipe:
    """A recipe with the network of the model that it starts from, but for what it says about the network itself.

    Args:
        recipe: Any; one that starts from no model stays as it is.
        model: A model of the same network, which is looked at instead.

    Raises:
        ModelError: The model cannot be read.
    """
    if recipe.initial.weights is None:
        return recipe
    config = load_config(model or find_weights(recipe.initial.weights))
    return recipe.model_copy(update={"network": recipe.network.with_defaults(config)})


def warm_start(network: E2Pose, schema: KeypointSchema, path: Path) -> Inheritance:
    """Copies into a network what a model knows that it can use, matching keypoints by name.

    Args:
        network: Changed; what the model does not know stays as it is.
        schema: Keypoints of the network.
        path: A `.safetensors` model.

    Raises:
        ModelError: The model cannot be read, or has another backbone.
    """
    other, spec = load_weights(path)
    if other.config.backbone != network.config.backbone:
        raise ModelError(
            f"'{path}' has the backbone {other.config.backbone}, but the recipe's is {network.config.backbone}",
            "set network.backbone to that of the model, or start without initial.weights",
        )
    source, target = other.state_dict(), network.state_dict()
    common = [name for name in schema.keypoints if name in spec.schema.keypoints]
    here = [schema.keypoints.index(name) for name in common]
    there = [spec.schema.keypoints.index(name) for name in common]
    rows = {
        _OUTPUT: (_head_rows(here, len(schema)), _head_rows(there, len(spec.schema))),
        **dict.fromkeys(_OFFSET_MAPS, (_pairs(here), _pairs(there))),
    }
    taken = []
    for name, value in target.items():
        prefix = next((prefix for prefix in rows if name.startswith(prefix)), None)
        if prefix is None and name in source and source[name].shape == value.shape:
            value.copy_(source[name])
        elif prefix is not None and len(rows[prefix][0]) and _fits(source, target, f"{prefix}weight"):
            mine, theirs = rows[prefix]
            value[mine] = source[name][theirs]
        else:
            continue
        taken.append(name)
    left = [name for name in target if name not in taken]
    new = [name for name in schema.keypoints if name not in common]
    return Inheritance(tuple(taken), tuple(left), tuple(common), tuple(new))


def _fits(source: Mapping[str, Tensor], target: Mapping[str, Tensor], name: str) -> bool:
    """Whether weights are of the same shape but for the number of keypoints."""
    return name in source and source[name].shape[1:] == target[name].shape[1:]


def _head_rows(keypoints: list[int], count: int) -> Tensor:
    """The head's output channels for a person, for the given of `count` keypoints, and for the centre.

    The order is that of `PoseHead`: person, keypoint scores, centre, offsets.
    """
    scores = [1 + index for index in keypoints]
    center = 1 + count
    offsets = (center + 2 + _pairs(keypoints)).tolist()
    return torch.tensor([0, *scores, center, center + 1, *offsets])


def _pairs(keypoints: list[int]) -> Tensor:
    """The channels of x and y of keypoints whose pairs follow each other."""
    return torch.tensor([2 * index + axis for index in keypoints for axis in (0, 1)], dtype=torch.long)
