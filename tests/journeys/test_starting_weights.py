"""The scripts that make weights to start from."""

import json
import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from e2pose.models.artifact import load_weights, save_weights
from e2pose.models.backbones.mobilenetv2 import MobileNetV2
from e2pose.models.build import build_network
from e2pose.models.e2pose import MEAN_RGB, STD_RGB
from networks import SPEC, livened, noise, small_network

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index, picture in enumerate(noise(6)):
        cv2.imwrite(str(folder / f"{index}.png"), picture[..., ::-1])
    return folder


def run(script: str, monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", [script, *map(str, arguments)])
    runpy.run_path(str(EXAMPLES / script), run_name="__main__")


def write_folded(backbone: MobileNetV2, path: Path) -> None:
    """A backbone as a graph of TensorFlow.js, whose batch norms are folded into the convolutions."""
    layers = [layer for layer in backbone.modules() if isinstance(layer, nn.Conv2d | nn.BatchNorm2d)]
    nodes, weights, data = [], [], b""
    for index, (conv, norm) in enumerate(zip(layers[::2], layers[1::2], strict=True)):
        factor = norm.weight / (norm.running_var + norm.eps).sqrt()
        kernel = (conv.weight * factor[:, None, None, None]).detach()
        is_depthwise = conv.groups > 1
        kernel = kernel.permute(2, 3, 0, 1) if is_depthwise else kernel.permute(2, 3, 1, 0)
        bias = (norm.bias - norm.running_mean * factor).detach()
        for name, value in ((f"kernel{index}", kernel), (f"bias{index}", bias)):
            weights.append({"name": name, "shape": list(value.shape), "dtype": "float32"})
            data += value.contiguous().numpy().tobytes()
        op = "FusedDepthwiseConv2dNative" if is_depthwise else "_FusedConv2D"
        name = f"net/model_1/model/{index}"
        nodes.append({"op": op, "name": name, "input": ["x", f"kernel{index}", f"bias{index}"]})
    record = {"modelTopology": {"node": nodes}, "weightsManifest": [{"weights": weights}]}
    path.write_text(json.dumps(record), encoding="utf-8")
    path.with_suffix(".bin").write_bytes(data)


def test_folded_backbone_answers_as_before(tmp_path, pictures, monkeypatch) -> None:
    torch.manual_seed(0)
    original = MobileNetV2(multiplier=1.5)
    for norm in original.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.uniform_(norm.running_var, 0.3, 3)
            nn.init.normal_(norm.running_mean)
            nn.init.normal_(norm.bias)
    original.eval()
    write_folded(original, tmp_path / "folded.json")
    run("movenet_backbone.py", monkeypatch, tmp_path / "folded.json", pictures, tmp_path / "backbone.pth")
    unfolded = MobileNetV2(multiplier=1.5).eval()
    unfolded.load_state_dict(torch.load(tmp_path / "backbone.pth"))
    # a grey canvas as MoveNet's zero: what lies beyond the border is the mean for one and grey for the other
    pixels = torch.from_numpy(np.random.default_rng(0).uniform(0, 255, (1, 3, 512, 512)).astype(np.float32))
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN_RGB, STD_RGB))
    with torch.no_grad():
        theirs, ours = original(pixels / 127.5 - 1), unfolded((pixels - mean) / std)
    inside = slice(12, -12)  # of 128 cells; the border has not reached as far
    assert theirs[4].std() > 0.1
    torch.testing.assert_close(ours[4][..., inside, inside], theirs[4][..., inside, inside], rtol=1e-3, atol=1e-3)


def test_head_on_the_same_backbone_answers_as_before(tmp_path, pictures, monkeypatch) -> None:
    network = small_network()
    save_weights(tmp_path / "old.safetensors", network, SPEC)
    torch.save(network.backbone.state_dict(), tmp_path / "backbone.pth")
    new = tmp_path / "new.safetensors"
    words = (tmp_path / "old.safetensors", "mobilenetv2", tmp_path / "backbone.pth", pictures, new)
    run("transplant.py", monkeypatch, *words)
    same, spec = load_weights(new)
    assert spec.name == "new"
    lateral = network.pyramid.lateral["16"].weight
    assert not torch.equal(same.pyramid.lateral["16"].weight, lateral)  # fitted anew
    pixels = torch.from_numpy(noise(6).transpose(0, 3, 1, 2))
    with torch.no_grad():
        theirs, ours = network(pixels), same(pixels)
    assert (ours.keypoints - theirs.keypoints).abs().mean() < 0.1 * theirs.keypoints.std()


def test_head_goes_onto_a_wider_backbone(tmp_path, pictures, monkeypatch) -> None:
    save_weights(tmp_path / "old.safetensors", small_network(), SPEC)
    wide = livened(build_network(small_network().config.__class__(backbone="mobilenetv2_150", strides=(32,), width=8)))
    torch.save(wide.backbone.state_dict(), tmp_path / "backbone.pth")
    new = tmp_path / "new.safetensors"
    words = (tmp_path / "old.safetensors", "mobilenetv2_150", tmp_path / "backbone.pth", pictures, new)
    run("transplant.py", monkeypatch, *words)
    network, _ = load_weights(new)
    assert network.config.backbone == "mobilenetv2_150"
    torch.testing.assert_close(network.backbone.state_dict(), wide.backbone.state_dict())
    kept = small_network().head.state_dict()
    torch.testing.assert_close(network.head.state_dict(), kept, atol=1e-3, rtol=1e-3)
