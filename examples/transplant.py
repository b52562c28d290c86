"""Puts another backbone under the trained pyramid, head and refiner of a model, as weights to train on from.

The convolutions between the two are fitted by least squares, so that on a few hundred pictures they give what they
gave before, as far as a linear map can. A recipe with `network.weights = "start.safetensors"` goes on from there.

    python examples/transplant.py default mobilenetv2_150 data/movenet.pth data/photos/images start.safetensors
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from e2pose.inference.preprocess import prepare
from e2pose.models.artifact import load_weights, save_weights
from e2pose.models.build import build_network, load_backbone
from e2pose.models.e2pose import E2Pose
from e2pose.sources.images import read_image
from e2pose.training.measure import spread
from e2pose.training.warm_start import find_weights

PICTURES, BATCH = 384, 16
RIDGE = 1e-3  # relative to the mean square of an input


@dataclass
class Fit:
    """A linear fit from one map to another, whose sums grow picture by picture."""

    squares: Tensor | float = 0.0
    products: Tensor | float = 0.0

    def add(self, inputs: Tensor, outputs: Tensor) -> None:
        """Takes maps (B, C, h, w) of equal size."""
        rows = inputs.movedim(1, -1).flatten(0, 2).double()
        rows = torch.cat([rows, torch.ones(len(rows), 1)], dim=1)
        self.squares += rows.T @ rows
        self.products += rows.T @ outputs.movedim(1, -1).flatten(0, 2).double()

    def write(self, joint: nn.Conv2d) -> None:
        """Makes a convolution do what was seen."""
        ridge = RIDGE * self.squares.diagonal().mean() * torch.eye(len(self.squares))
        solution = torch.linalg.solve(self.squares + ridge, self.products).float()
        joint.weight.copy_(solution[:-1].T[:, :, None, None])
        joint.bias.copy_(solution[-1])


def joints(network: E2Pose) -> dict[str, int]:
    """The 1x1 convolutions through which the backbone's maps enter the rest of a network, with the maps' strides."""
    found = {f"pyramid.lateral.{stride}": int(stride) for stride in network.pyramid.lateral}
    return found | ({"refiner.lateral": network.refiner.stride} if network.refiner else {})


@torch.no_grad()
def main(model: str, backbone: str, backbone_weights: str, pictures: str, output: str) -> None:
    """Writes the new model."""
    old, spec = load_weights(find_weights(model))
    new = build_network(replace(old.config, backbone=backbone)).eval()
    fits = {name: Fit() for name in joints(old)}
    parts = tuple(fits)
    kept = {name: value for name, value in old.state_dict().items() if not name.startswith(("backbone.", *parts))}
    new.load_state_dict(kept, strict=False)
    load_backbone(new, Path(backbone_weights))
    paths = sorted(Path(pictures).iterdir())
    chosen = [paths[index] for index in spread(len(paths), PICTURES)]
    for start in range(0, len(chosen), BATCH):
        canvases = prepare([read_image(path) for path in chosen[start : start + BATCH]], spec).pixels
        normalized = (torch.from_numpy(canvases).float() - old.mean) / old.std
        theirs, ours = old.backbone(normalized), new.backbone(normalized)
        for name, stride in joints(old).items():
            fits[name].add(ours[stride], old.get_submodule(name)(theirs[stride]))
    for name, fit in fits.items():
        fit.write(new.get_submodule(name))
    save_weights(output, new, replace(spec, name=Path(output).stem))


if __name__ == "__main__":
    main(*sys.argv[1:])
