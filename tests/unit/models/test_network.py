from typing import get_args

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from e2pose.core.errors import ModelError
from e2pose.core.schema import load_schema
from e2pose.core.spec import ModelSpec
from e2pose.models.artifact import load_weights, save_weights
from e2pose.models.backbones.mobilenetv2 import MobileNetV2
from e2pose.models.backbones.resnet import ResNet
from e2pose.models.build import BACKBONES, build_network, load_backbone
from e2pose.models.config import Backbone, NetworkConfig
from e2pose.models.head import UNIT

SMALL = NetworkConfig(strides=(32, 64), width=16, head_depth=1)


def blank(height: int, width: int, count: int = 1) -> torch.Tensor:
    return torch.zeros(count, 3, height, width, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("height", "width", "candidates"),
    [(320, 320, 139), (384, 448, 227), (448, 448, 266), (448, 512, 301), (480, 480, 310), (512, 512, 341)],
)
def test_the_default_layout_gives_as_many_candidates_as_the_published_models(height, width, candidates):
    network = build_network(NetworkConfig(width=8), 17).eval()
    with torch.inference_mode():
        prediction = network(blank(height, width))
    assert prediction.person_logits.shape == (1, candidates)
    assert prediction.keypoint_logits.shape == (1, candidates, 17)
    assert prediction.keypoints.shape == (1, candidates, 17, 2)
    assert prediction.centers.shape == (1, candidates, 2)


def test_an_untrained_head_puts_everything_in_the_middle_of_its_cell():
    network = build_network(SMALL, 17).eval()
    torch.nn.init.zeros_(network.head.output.weight)
    with torch.inference_mode():
        prediction = network(blank(64, 96))
    fine = [(x, y) for y in (16, 48) for x in (16, 48, 80)]
    coarse = [(32, 32), (96, 32)]
    expected = torch.tensor(fine + coarse) / torch.tensor([96.0, 64.0])
    torch.testing.assert_close(prediction.centers[0], expected)
    torch.testing.assert_close(prediction.keypoints[0], expected[:, None].expand(-1, 17, -1))
    torch.testing.assert_close(prediction.person_logits.sigmoid(), torch.full((1, 8), 0.01))


def test_offsets_are_counted_in_strides():
    network = build_network(SMALL, 17).eval()
    torch.nn.init.zeros_(network.head.output.weight)
    with torch.no_grad():
        network.head.output.bias[1 + 17 + 2 + 2 * 5] = 0.5  # x of keypoint 5
        network.head.output.bias[1 + 17 + 1] = 0.25  # y of the centre
        prediction = network(blank(64, 64))
    first_fine, coarse = prediction.keypoints[0, 0] * 64, prediction.keypoints[0, 4] * 64
    assert first_fine[5].tolist() == pytest.approx([16 + 0.5 * UNIT * 32, 16 + 0.25 * 32])
    assert coarse[5].tolist() == pytest.approx([32 + 0.5 * UNIT * 64, 32 + 0.25 * 64])
    assert first_fine[4].tolist() == pytest.approx([16, 16 + 0.25 * 32])


@pytest.mark.parametrize("strides", [(32, 64, 128, 256, 512), (16, 32, 64), (8, 16, 32), (32,)])
def test_one_by_one_equals_all_at_once(strides):
    torch.manual_seed(0)
    network = build_network(NetworkConfig(strides=strides, width=16), 17).eval()
    pixels = torch.randint(0, 256, (3, 3, 96, 160), dtype=torch.uint8)
    with torch.inference_mode():
        together = network(pixels)
        alone = [network(pixels[index : index + 1]) for index in range(3)]
    for name in ("person_logits", "keypoint_logits", "keypoints", "centers"):
        parts = torch.cat([getattr(prediction, name) for prediction in alone])
        torch.testing.assert_close(getattr(together, name), parts, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("strides", [(), (16,), (16, 64), (64, 128), (32, 16)])
def test_impossible_strides_are_refused(strides):
    with pytest.raises(ValidationError, match="strides must start at"):
        NetworkConfig(strides=strides)


def test_an_unknown_backbone_is_refused_with_the_known_ones():
    with pytest.raises(ValidationError, match="'mobilenetv2'"):
        NetworkConfig(backbone="vgg")
    assert set(get_args(Backbone)) == set(BACKBONES)


@pytest.mark.parametrize(("name", "millions"), [("resnet50", 23.508), ("resnet101", 42.500), ("resnet152", 58.144)])
def test_resnets_have_as_many_parameters_as_the_originals_without_classifier(name, millions):
    with torch.device("meta"):
        backbone = BACKBONES[name]()
    assert sum(parameter.numel() for parameter in backbone.parameters()) / 1e6 == pytest.approx(millions, abs=1e-3)


def test_mobilenet_has_as_many_parameters_as_the_original_without_its_last_layers():
    last_convolution, classifier = 320 * 1280 + 2 * 1280, 1280 * 1000 + 1000
    whole = 3_504_872  # torchvision's documentation of mobilenet_v2
    assert sum(p.numel() for p in MobileNetV2().parameters()) == whole - last_convolution - classifier


def test_wider_mobilenet_has_the_channels_of_its_authors_rounding():
    wide = MobileNetV2(multiplier=1.5)
    assert wide.channels == {4: 40, 8: 48, 16: 144, 32: 480}
    assert wide.entry_channels == {4: 40, 8: 48, 16: 96, 32: 480}
    assert MobileNetV2(multiplier=1.4).channels == {4: 32, 8: 48, 16: 136, 32: 448}  # as in the paper's model zoo
    assert MobileNetV2(multiplier=0.35).channels == {4: 8, 8: 16, 16: 32, 32: 112}


def test_weight_names_are_those_of_public_imagenet_weights():
    mobilenet = MobileNetV2().state_dict()
    assert mobilenet["features.0.0.weight"].shape == (32, 3, 3, 3)
    assert mobilenet["features.1.conv.0.0.weight"].shape == (32, 1, 3, 3)
    assert mobilenet["features.2.conv.1.0.weight"].shape == (96, 1, 3, 3)
    assert mobilenet["features.17.conv.3.running_var"].shape == (320,)
    with torch.device("meta"):
        resnet = BACKBONES["resnet50"]().state_dict()
    assert resnet["layer4.2.conv3.weight"].shape == (2048, 512, 1, 1)
    assert resnet["layer2.0.downsample.0.weight"].shape == (512, 256, 1, 1)


def test_the_stride_of_a_resnet_stage_sits_where_its_version_has_it():
    def strides(backbone: ResNet) -> list[tuple[int, int]]:
        blocks = [backbone.layer1[0], backbone.layer2[0], backbone.layer3[0], backbone.layer4[0]]
        return [(block.conv1.stride[0], block.conv2.stride[0]) for block in blocks]

    with torch.device("meta"):
        assert strides(BACKBONES["resnet50"]()) == [(1, 1), (1, 2), (1, 2), (1, 2)]
        assert strides(BACKBONES["resnet50_v1"]()) == [(1, 1), (2, 1), (2, 1), (2, 1)]


@pytest.mark.parametrize("name", ["mobilenetv2", "mobilenetv2_150", "resnet50", "resnet50_v1"])
def test_backbone_maps_have_the_promised_shapes(name):
    backbone = BACKBONES[name]().eval()
    with torch.inference_mode():
        given = backbone(torch.zeros(1, 3, 64, 96))
    for maps, channels in zip(given, (backbone.channels, backbone.entry_channels), strict=True):
        assert {s: tuple(m.shape) for s, m in maps.items()} == {
            s: (1, c, 64 // s, 96 // s) for s, c in channels.items()
        }


def test_imagenet_weights_load_and_wrong_ones_are_refused(tmp_path):
    source = MobileNetV2().state_dict()
    source["features.0.0.weight"] = torch.full((32, 3, 3, 3), 7.0)
    source["classifier.1.weight"] = torch.zeros(1000, 1280)
    torch.save(source, tmp_path / "good.pth")
    network = build_network(SMALL, 17)
    load_backbone(network, tmp_path / "good.pth")
    assert network.backbone.state_dict()["features.0.0.weight"].unique().tolist() == [7.0]

    del source["features.3.conv.0.0.weight"]
    torch.save(source, tmp_path / "incomplete.pth")
    (tmp_path / "noise.pth").write_bytes(np.random.default_rng(0).bytes(100))
    for name in ("incomplete.pth", "noise.pth", "missing.pth"):
        with pytest.raises(ModelError, match=name) as caught:
            load_backbone(network, tmp_path / name)
        assert "torchvision" in caught.value.hint


def test_what_only_training_needs_is_said_while_training_only(tmp_path):
    network = build_network(NetworkConfig(strides=(32, 64), width=16), 17, one_to_many=True)
    pixels = blank(64, 96, count=2)
    training, using = network.train()(pixels), network.eval()(pixels)
    assert training.one_to_many_logits.shape == (2, 8)
    assert using.one_to_many_logits is None
    save_weights(tmp_path / "w.safetensors", network, ModelSpec("m", (64, 96), "stretch", load_schema("coco")))
    loaded, _ = load_weights(tmp_path / "w.safetensors")
    assert not loaded.head.one_to_many
    torch.testing.assert_close(loaded(pixels).keypoints, using.keypoints)
