"""Replaces the backbone of a trained model, as initial weights for a training.

Pyramid, head and refinement are kept. The convolutions between them and the backbone are fitted by least squares, so
that on a few hundred images they reproduce their former outputs as well as a linear map can. Fine features among the
backbone's weights are used. Train the result with `initial.weights = "start.safetensors"`.

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
from e2pose.models.build import build_network
from e2pose.models.config import FineRefinementConfig, NetworkConfig, RefinementConfig
from e2pose.models.paper import E2Pose
from e2pose.models.refined import RefinedE2Pose
from e2pose.models.weights import load_backbone, load_weights, save_weights
from e2pose.sources.images import read_image
from e2pose.training.evaluate import spread
from e2pose.training.warm_start import resolve_weights

NUM_IMAGES, BATCH_SIZE = 384, 16
FINE_STEPS = 2
"""Steps of the fine refinement if the backbone's weights include fine features."""
RIDGE = 1e-3  # relative to the mean square of the inputs


class Fit:
    """A linear fit from one map to another, accumulated over batches of images."""

    def __init__(self) -> None:
        self.squares: Tensor | float = 0.0
        self.products: Tensor | float = 0.0

    def add(self, inputs: Tensor, outputs: Tensor) -> None:
        """Adds maps (B, C, h, w) of equal size."""
        rows = inputs.movedim(1, -1).flatten(0, 2).double()
        rows = torch.cat([rows, torch.ones(len(rows), 1)], dim=1)
        self.squares += rows.T @ rows
        self.products += rows.T @ outputs.movedim(1, -1).flatten(0, 2).double()

    def solve(self) -> tuple[Tensor, Tensor]:
        """Returns kernel (out, in, 1, 1) and bias (out,)."""
        ridge = RIDGE * self.squares.diagonal().mean() * torch.eye(len(self.squares))
        solution = torch.linalg.solve(self.squares + ridge, self.products).float()
        return solution[:-1].T[:, :, None, None], solution[-1]


class Joints:
    """The 1x1 convolutions between a new backbone and the parts that are kept.

    Args:
        network: The new network.
        has_fine: Whether the backbone's weights include fine features. Their entry into the finest level is then fitted
            together with that of the backbone's map; otherwise the fine features are kept and their inputs are fitted.
    """

    def __init__(self, network: E2Pose, *, has_fine: bool) -> None:
        self.network = network
        self.finest = f"pyramid.lateral.{network.pyramid.strides[0]}"
        self.has_fine = has_fine
        self.strides = {f"pyramid.lateral.{stride}": int(stride) for stride in network.pyramid.lateral}
        if isinstance(network, RefinedE2Pose):
            self.strides["coarse_refinement.lateral"] = network.coarse_refinement.stride
            if network.fine_features and not has_fine:
                self.strides["fine_features.expand.0"] = 32
                self.strides |= {f"fine_features.lateral.{stride}": stride for stride in (16, 8, 4)}
        self.fits = {name: Fit() for name in self.strides}

    def add(self, old: E2Pose, pixels: Tensor) -> None:
        """Adds the maps of normalised pixels in the old network and the new backbone."""
        maps, early_maps = self.network.backbone(pixels)
        old_maps, old_early_maps = old.backbone(pixels)
        for name, stride in self.strides.items():
            is_fine = name.startswith("fine_features.")
            inputs, old_inputs = (early_maps, old_early_maps) if is_fine else (maps, old_maps)
            given, wanted = inputs[stride], old.get_submodule(name)(old_inputs[stride])
            if name == self.finest and self.has_fine:
                side = self.network.fine_fusion.lateral.stride[0]
                fine = functional.pixel_unshuffle(self.network.fine_features(early_maps), side)
                given = torch.cat([given, fine], dim=1)
                if isinstance(old, RefinedE2Pose) and old.fine_features:
                    wanted = wanted + old.fine_fusion.lateral(old.fine_features(old_early_maps))
            self.fits[name].add(given, wanted)

    def write(self) -> None:
        """Writes the fitted convolutions into the network."""
        for name, fit in self.fits.items():
            joint = self.network.get_submodule(name)
            kernel, bias = fit.solve()
            joint.weight.copy_(kernel[:, : joint.in_channels])
            joint.bias.copy_(bias)
            if joint.in_channels < kernel.shape[1]:
                fine_lateral = self.network.fine_fusion.lateral.weight
                fine_lateral.copy_(kernel[:, joint.in_channels :].reshape(fine_lateral.shape))


@torch.no_grad()
def main(model: str, backbone: str, backbone_weights: str, images: str, output: str) -> None:
    """Writes the new model."""
    old, spec = load_weights(resolve_weights(model))
    new_weights = torch.load(backbone_weights, map_location="cpu", weights_only=True)
    has_fine = any(name.startswith("fine_features.") for name in new_weights)
    config = old.config.model_copy(update={"backbone": backbone})
    if has_fine:
        config = NetworkConfig(refinement=RefinementConfig(fine=FineRefinementConfig(steps=FINE_STEPS))).with_defaults(
            config
        )
    new = build_network(config, len(spec.schema)).eval()
    joints = Joints(new, has_fine=has_fine)
    replaced = ("backbone.", *joints.strides)
    new.load_state_dict({n: v for n, v in old.state_dict().items() if not n.startswith(replaced)}, strict=False)
    load_backbone(new, Path(backbone_weights))
    paths = sorted(Path(images).iterdir())
    chosen = [paths[index] for index in spread(len(paths), NUM_IMAGES)]
    for start in range(0, len(chosen), BATCH_SIZE):
        batch = preprocess([read_image(path) for path in chosen[start : start + BATCH_SIZE]], spec)
        joints.add(old, old.normalise(torch.from_numpy(batch.pixels)))
    joints.write()
    save_weights(output, new, replace(spec, name=Path(output).stem))


if __name__ == "__main__":
    main(*sys.argv[1:])
