"""Puts another backbone under the trained pyramid, head and refiner of a model, as weights to train on from.

The convolutions between the two are fitted by least squares, so that on a few hundred pictures they give what they
gave before, as far as a linear map can. Weights of a backbone that bring fine features along get a place for them. A
recipe with `network.weights = "start.safetensors"` goes on from there.

    python examples/transplant.py default mobilenetv2_150 data/movenet.pth data/photos/images start.safetensors
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from e2pose.inference.preprocess import preprocess
from e2pose.models.artifact import load_weights, save_weights
from e2pose.models.build import build_network, load_backbone
from e2pose.models.config import FineRefinementConfig, NetworkConfig, RefinementConfig
from e2pose.models.e2pose import E2Pose
from e2pose.sources.images import read_image
from e2pose.training.measure import spread
from e2pose.training.warm_start import find_weights

PICTURES, BATCH = 384, 16
FINE_REFINEMENTS = 2
"""How often keypoints are corrected on the fine map, where the backbone's weights bring one along."""
RIDGE = 1e-3  # relative to the mean square of an input


class Fit:
    """A linear fit from one map to another, whose sums grow picture by picture."""

    def __init__(self) -> None:
        self.squares: Tensor | float = 0.0
        self.products: Tensor | float = 0.0

    def add(self, inputs: Tensor, outputs: Tensor) -> None:
        """Takes maps (B, C, h, w) of equal size."""
        rows = inputs.movedim(1, -1).flatten(0, 2).double()
        rows = torch.cat([rows, torch.ones(len(rows), 1)], dim=1)
        self.squares += rows.T @ rows
        self.products += rows.T @ outputs.movedim(1, -1).flatten(0, 2).double()

    def solve(self) -> tuple[Tensor, Tensor]:
        """Kernel (out, in, 1, 1) and bias (out,)."""
        ridge = RIDGE * self.squares.diagonal().mean() * torch.eye(len(self.squares))
        solution = torch.linalg.solve(self.squares + ridge, self.products).float()
        return solution[:-1].T[:, :, None, None], solution[-1]


class Joints:
    """The 1x1 convolutions through which the maps of a new backbone enter what stays of a network.

    Args:
        network: The new network.
        brings_fine: Whether fine features came with the backbone. They then enter the finest level anew, together with
            the backbone's map; otherwise they stay, and their own entries are fitted.
    """

    def __init__(self, network: E2Pose, *, brings_fine: bool) -> None:
        self.network = network
        self.finest = f"pyramid.lateral.{network.pyramid.strides[0]}"
        self.brings_fine = brings_fine
        self.strides = {f"pyramid.lateral.{stride}": int(stride) for stride in network.pyramid.lateral}
        if network.refiner:
            self.strides["refiner.lateral"] = network.refiner.stride
        if network.fine and not brings_fine:
            self.strides |= {"fine.wide.0": 32, "fine.lateral.16": 16, "fine.lateral.8": 8, "fine.lateral.4": 4}
        self.fits = {name: Fit() for name in self.strides}

    def add(self, old: E2Pose, pixels: Tensor) -> None:
        """Looks at normalised pixels with the old network and the new backbone."""
        maps, entries = self.network.backbone(pixels)
        old_maps, old_entries = old.backbone(pixels)
        for name, stride in self.strides.items():
            is_fine = name.startswith("fine.")
            inputs, old_inputs = (entries, old_entries) if is_fine else (maps, old_maps)
            given, wanted = inputs[stride], old.get_submodule(name)(old_inputs[stride])
            if name == self.finest and self.brings_fine:
                side = self.network.pyramid.fine.stride[0]
                given = torch.cat([given, functional.pixel_unshuffle(self.network.fine(entries), side)], dim=1)
                wanted = wanted + old.pyramid.fine(old.fine(old_entries)) if old.fine else wanted
            self.fits[name].add(given, wanted)

    def write(self) -> None:
        """Makes the convolutions do what was seen."""
        for name, fit in self.fits.items():
            joint = self.network.get_submodule(name)
            kernel, bias = fit.solve()
            joint.weight.copy_(kernel[:, : joint.in_channels])
            joint.bias.copy_(bias)
            if joint.in_channels < kernel.shape[1]:
                entering = self.network.pyramid.fine.weight
                entering.copy_(kernel[:, joint.in_channels :].reshape(entering.shape))


@torch.no_grad()
def main(model: str, backbone: str, backbone_weights: str, pictures: str, output: str) -> None:
    """Writes the new model."""
    old, spec = load_weights(find_weights(model))
    brought = torch.load(backbone_weights, map_location="cpu", weights_only=True)
    brings_fine = any(name.startswith("fine.") for name in brought)
    config = old.config.model_copy(update={"backbone": backbone})
    if brings_fine:
        config = NetworkConfig(
            refinement=RefinementConfig(fine=FineRefinementConfig(steps=FINE_REFINEMENTS))
        ).with_defaults(config)
    new = build_network(config, len(spec.schema)).eval()
    joints = Joints(new, brings_fine=brings_fine)
    left_out = ("backbone.", *joints.strides)
    new.load_state_dict({n: v for n, v in old.state_dict().items() if not n.startswith(left_out)}, strict=False)
    load_backbone(new, Path(backbone_weights))
    paths = sorted(Path(pictures).iterdir())
    chosen = [paths[index] for index in spread(len(paths), PICTURES)]
    for start in range(0, len(chosen), BATCH):
        canvases = preprocess([read_image(path) for path in chosen[start : start + BATCH]], spec).pixels
        joints.add(old, (torch.from_numpy(canvases).float() - old.mean) / old.std)
    joints.write()
    save_weights(output, new, replace(spec, name=Path(output).stem))


if __name__ == "__main__":
    main(*sys.argv[1:])
