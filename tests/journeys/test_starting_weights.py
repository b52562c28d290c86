"""The example scripts that write initial weights."""

import json
import runpy
import sys
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from e2pose.models.backbones.mobilenetv2 import MobileNetV2
from e2pose.models.build import build_network
from e2pose.models.config import FineRefinementConfig, NetworkConfig, RefinementConfig
from e2pose.models.paper import MEAN_RGB, STD_RGB, E2Pose
from e2pose.models.weights import load_backbone, load_weights, save_weights
from helpers.networks import SPEC, noise, randomise_weights, small_network

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for index, image in enumerate(noise(6)):
        cv2.imwrite(str(folder / f"{index}.png"), image[..., ::-1])
    return folder


def run(script: str, monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", [script, *map(str, arguments)])
    runpy.run_path(str(EXAMPLES / script), run_name="__main__")


Folded = tuple[str, torch.Tensor, torch.Tensor | None]
"""Name in the TensorFlow.js graph, kernel and bias of a convolution."""


def folded(part: nn.Module, names: list[str]) -> list[Folded]:
    """Returns the convolutions of a module with their batch norms folded into them."""
    layers = [layer for layer in part.modules() if isinstance(layer, nn.Conv2d | nn.BatchNorm2d)]
    found = []
    for layer, behind in zip(layers, [*layers[1:], None], strict=True):
        if isinstance(layer, nn.Conv2d):
            kernel, bias = layer.weight, layer.bias
            if isinstance(behind, nn.BatchNorm2d):
                factor = behind.weight / (behind.running_var + behind.eps).sqrt()
                kernel, bias = kernel * factor[:, None, None, None], behind.bias - behind.running_mean * factor
            found.append((names[len(found)], kernel.detach(), None if bias is None else bias.detach()))
    return found


def write_graph(convolutions: list[Folded], path: Path) -> None:
    """Writes convolutions as a TensorFlow.js graph."""
    nodes, weights, data = [], [], b""
    for index, (name, kernel, bias) in enumerate(convolutions):
        is_depthwise = kernel.shape[1] == 1
        stored = kernel.permute(2, 3, 0, 1) if is_depthwise else kernel.permute(2, 3, 1, 0)
        values = {f"kernel{index}": stored} | ({} if bias is None else {f"bias{index}": bias})
        for key, value in values.items():
            weights.append({"name": key, "shape": list(value.shape), "dtype": "float32"})
            data += value.contiguous().numpy().tobytes()
        op = "FusedDepthwiseConv2dNative" if is_depthwise else "_FusedConv2D"
        nodes.append({"op": op, "name": f"net/model_1/{name}", "input": ["x", *values]})
    record = {"modelTopology": {"node": nodes}, "weightsManifest": [{"weights": weights}]}
    path.write_text(json.dumps(record), encoding="utf-8")
    path.with_suffix(".bin").write_bytes(data)


def randomise_weights_norms(network: nn.Module) -> None:
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.uniform_(norm.running_var, 0.3, 3)
            nn.init.normal_(norm.running_mean)
            nn.init.normal_(norm.bias)


def body(backbone: MobileNetV2) -> list[Folded]:
    return folded(backbone, [f"model/{index}" for index in range(100)])


def normalized(pixels: torch.Tensor) -> torch.Tensor:
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN_RGB, STD_RGB))
    return (pixels - mean) / std


def test_unfolded_backbone_equals_the_original(tmp_path, images, monkeypatch) -> None:
    torch.manual_seed(0)
    original = MobileNetV2(multiplier=1.5)
    randomise_weights_norms(original)
    original.eval()
    write_graph(body(original), tmp_path / "folded.json")
    run("movenet_weights.py", monkeypatch, tmp_path / "folded.json", images, tmp_path / "backbone.pth")
    unfolded = MobileNetV2(multiplier=1.5).eval()
    unfolded.load_state_dict(torch.load(tmp_path / "backbone.pth"))
    # zero padding is grey for MoveNet and the ImageNet mean for our backbone, so that borders differ
    pixels = torch.from_numpy(np.random.default_rng(0).uniform(0, 255, (1, 3, 512, 512)).astype(np.float32))
    with torch.no_grad():
        theirs, ours = original(pixels / 127.5 - 1)[0], unfolded(normalized(pixels))[0]
    inside = slice(12, -12)  # of 128 cells; beyond the influence of the border
    assert theirs[4].std() > 0.1
    torch.testing.assert_close(ours[4][..., inside, inside], theirs[4][..., inside, inside], rtol=1e-3, atol=1e-3)


@pytest.fixture(scope="module")
def movenet(tmp_path_factory: pytest.TempPathFactory, images: Path) -> tuple[E2Pose, Path]:
    """A network with fine features, and a file of its weights that was read from a folded graph."""
    folder = tmp_path_factory.mktemp("movenet")
    torch.manual_seed(0)
    config = NetworkConfig(
        backbone="mobilenetv2_150",
        strides=(16, 32),
        width=8,
        refinement=RefinementConfig(steps=1, fine=FineRefinementConfig(steps=1)),
    )
    network = randomise_weights(build_network(config, 17)).eval()
    fine = network.fine_features
    named = [*folded(fine.expand, ["model/out_relu/Relu6"]), *folded(fine.lateral["32"], ["conv2d/BiasAdd"])]
    for number, stride in enumerate(("16", "8", "4")):
        suffix = f"_{number}" if number else ""
        named += folded(fine.lateral[stride], [f"conv2d_{number + 1}/BiasAdd"])
        names = [f"separable_conv2d{suffix}/separable_conv2d/depthwise", f"re_lu{suffix}/Relu"]
        named += folded(fine.merge[stride], names)
    for tower, number in zip(network.fine_refinement.towers, (6, 8), strict=True):
        named += folded(tower, [f"separable_conv2d_{number}/separable_conv2d/depthwise", f"re_lu_{number}/Relu"])
    first, *others = body(network.backbone)
    write_graph([in_their_pixels(first), *others, *named], folder / "folded.json")
    with pytest.MonkeyPatch.context() as patch:
        run("movenet_weights.py", patch, folder / "folded.json", images, folder / "movenet.pth")
    return network, folder / "movenet.pth"


def in_their_pixels(first: Folded) -> Folded:
    """Converts the first convolution to pixels in [-1, 1], the range of MoveNet."""
    name, kernel, bias = first
    mean, std = torch.tensor(MEAN_RGB), torch.tensor(STD_RGB)
    kernel = kernel * (127.5 / std).view(1, 3, 1, 1)
    return name, kernel, bias - (kernel.sum(dim=(2, 3)) * (mean / 127.5 - 1)).sum(dim=1)


def test_kernels_before_batch_norms_have_norm_1(movenet) -> None:
    original, weights = movenet
    again = build_network(original.config, 17).eval()
    load_backbone(again, weights)
    for part in (again.backbone.features[3], again.fine_features.merge["8"]):
        layers = [layer for layer in part.modules() if isinstance(layer, nn.Conv2d | nn.BatchNorm2d)]
        before = [conv for conv, norm in pairwise(layers) if isinstance(norm, nn.BatchNorm2d)]
        for conv in before:
            torch.testing.assert_close(conv.weight.flatten(1).norm(dim=1), torch.ones(conv.out_channels))


def test_unfolded_fine_features_equal_the_original(movenet) -> None:
    original, weights = movenet
    again = build_network(original.config, 17).eval()
    load_backbone(again, weights)
    pixels = normalized(torch.from_numpy(noise(6).transpose(0, 3, 1, 2)).float())
    with torch.no_grad():
        theirs, ours = (net.fine_features(net.backbone(pixels)[1]) for net in (original, again))
        assert theirs.std() > 0
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)
        for before, after in zip(original.fine_refinement.towers, again.fine_refinement.towers, strict=True):
            torch.testing.assert_close(after(ours), before(theirs), rtol=1e-3, atol=1e-3)


def test_transplanted_head_uses_fine_features(tmp_path, images, movenet, monkeypatch) -> None:
    old = randomise_weights(
        build_network(NetworkConfig(strides=(16, 32), width=8, refinement=RefinementConfig(steps=1)), 17)
    )
    save_weights(tmp_path / "old.safetensors", old, SPEC)
    new = tmp_path / "new.safetensors"
    words = (tmp_path / "old.safetensors", "mobilenetv2_150", movenet[1], images, new)
    run("transplant.py", monkeypatch, *words)
    network, _ = load_weights(new)
    assert network.config.refinement.fine.steps == 2
    pixels = normalized(torch.from_numpy(noise(6).transpose(0, 3, 1, 2)).float())
    with torch.no_grad():
        maps, entries = network.backbone(pixels)
        without, fine = (
            network.pyramid.lateral["16"](maps[16]),
            network.fine_fusion.lateral(network.fine_features(entries)),
        )
        wanted = old.pyramid.lateral["16"](old.backbone(pixels)[0][16])
    assert fine.std() > 0  # fine features contribute
    assert (without + fine - wanted).std() < (without - wanted).std()
    assert (without + fine - wanted).std() < 0.5 * wanted.std()


def test_transplanted_head_on_the_same_backbone_predicts_the_same(tmp_path, images, monkeypatch) -> None:
    network = small_network()
    save_weights(tmp_path / "old.safetensors", network, SPEC)
    torch.save(network.backbone.state_dict(), tmp_path / "backbone.pth")
    new = tmp_path / "new.safetensors"
    words = (tmp_path / "old.safetensors", "mobilenetv2", tmp_path / "backbone.pth", images, new)
    run("transplant.py", monkeypatch, *words)
    same, spec = load_weights(new)
    assert spec.name == "new"
    lateral = network.pyramid.lateral["16"].weight
    assert not torch.equal(same.pyramid.lateral["16"].weight, lateral)  # fitted again
    pixels = torch.from_numpy(noise(6).transpose(0, 3, 1, 2))
    with torch.no_grad():
        theirs, ours = network(pixels), same(pixels)
    assert (ours.keypoints - theirs.keypoints).abs().mean() < 0.1 * theirs.keypoints.std()


def test_transplanted_head_fits_a_wider_backbone(tmp_path, images, monkeypatch) -> None:
    save_weights(tmp_path / "old.safetensors", small_network(), SPEC)
    wide = randomise_weights(build_network(NetworkConfig(backbone="mobilenetv2_150", strides=(32,), width=8), 17))
    torch.save(wide.backbone.state_dict(), tmp_path / "backbone.pth")
    new = tmp_path / "new.safetensors"
    words = (tmp_path / "old.safetensors", "mobilenetv2_150", tmp_path / "backbone.pth", images, new)
    run("transplant.py", monkeypatch, *words)
    network, _ = load_weights(new)
    assert network.config.backbone == "mobilenetv2_150"
    torch.testing.assert_close(network.backbone.state_dict(), wide.backbone.state_dict())
    kept = small_network().head.state_dict()
    torch.testing.assert_close(network.head.state_dict(), kept, atol=1e-3, rtol=1e-3)
