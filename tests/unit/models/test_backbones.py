import pytest
import torch

from e2pose.models.backbones.build import BACKBONES
from e2pose.models.backbones.mobilenetv2 import MobileNetV2
from e2pose.models.backbones.resnet import ResNet


@pytest.mark.parametrize(("name", "millions"), [("resnet50", 23.508), ("resnet101", 42.500), ("resnet152", 58.144)])
def test_resnets_have_the_published_number_of_parameters_without_classifier(name, millions):
    with torch.device("meta"):
        backbone = BACKBONES[name]()
    assert sum(parameter.numel() for parameter in backbone.parameters()) / 1e6 == pytest.approx(millions, abs=1e-3)


def test_mobilenetv2_has_the_published_number_of_parameters_without_its_last_layers():
    last_convolution, classifier = 320 * 1280 + 2 * 1280, 1280 * 1000 + 1000
    published = 3_504_872  # torchvision's documentation of mobilenet_v2
    with torch.device("meta"):
        backbone = MobileNetV2()
    assert sum(p.numel() for p in backbone.parameters()) == published - last_convolution - classifier


def test_channels_are_rounded_like_the_authors_do():
    with torch.device("meta"):
        wide, large, narrow, rounded_up = (MobileNetV2(multiplier) for multiplier in (1.5, 1.4, 0.35, 0.4))
    assert wide.channels == {4: 40, 8: 48, 16: 144, 32: 480}
    assert wide.early_channels == {4: 40, 8: 48, 16: 96, 32: 480}
    assert large.channels == {4: 32, 8: 48, 16: 136, 32: 448}  # as in the authors' model zoo
    assert narrow.channels == {4: 8, 8: 16, 16: 32, 32: 112}
    assert rounded_up.channels[4] == 16  # 8 would be more than a tenth below 0.4 * 24


def test_parameter_names_are_those_of_torchvision():
    with torch.device("meta"):
        mobilenet, resnet = MobileNetV2().state_dict(), BACKBONES["resnet50"]().state_dict()
    assert mobilenet["features.0.0.weight"].shape == (32, 3, 3, 3)
    assert mobilenet["features.1.conv.0.0.weight"].shape == (32, 1, 3, 3)
    assert mobilenet["features.2.conv.1.0.weight"].shape == (96, 1, 3, 3)
    assert mobilenet["features.17.conv.3.running_var"].shape == (320,)
    assert resnet["layer4.2.conv3.weight"].shape == (2048, 512, 1, 1)
    assert resnet["layer2.0.downsample.0.weight"].shape == (512, 256, 1, 1)


def test_resnet_versions_differ_in_the_strided_convolution():
    def strides(backbone: ResNet) -> list[tuple[int, int]]:
        blocks = [backbone.layer1[0], backbone.layer2[0], backbone.layer3[0], backbone.layer4[0]]
        return [(block.conv1.stride[0], block.conv2.stride[0]) for block in blocks]

    with torch.device("meta"):
        assert strides(BACKBONES["resnet50"]()) == [(1, 1), (1, 2), (1, 2), (1, 2)]
        assert strides(BACKBONES["resnet50_v1"]()) == [(1, 1), (2, 1), (2, 1), (2, 1)]


@pytest.mark.parametrize("name", BACKBONES)
def test_feature_maps_have_the_declared_channels(name):
    with torch.device("meta"):
        backbone = BACKBONES[name]().eval()
        both = backbone(torch.zeros(1, 3, 64, 96))
    for maps, channels in zip(both, (backbone.channels, backbone.early_channels), strict=True):
        assert {s: tuple(m.shape) for s, m in maps.items()} == {
            s: (1, c, 64 // s, 96 // s) for s, c in channels.items()
        }


@pytest.mark.parametrize("name", ["resnet50", "mobilenetv2"])
def test_stem_computes_the_map_of_stride_4(name):
    backbone = BACKBONES[name]()
    maps, _ = backbone(torch.randn(2, 3, 64, 64))
    maps[4].square().sum().backward()
    reached = {name for name, parameter in backbone.named_parameters() if parameter.grad is not None}
    stem = {id(parameter) for module in backbone.stem_modules() for parameter in module.parameters()}
    assert reached == {name for name, parameter in backbone.named_parameters() if id(parameter) in stem}


def test_blocks_add_their_input():
    inputs = torch.rand(1, 256, 4, 4)
    bottleneck = ResNet((2, 1, 1, 1)).eval().layer1[1]
    torch.nn.init.zeros_(bottleneck.bn3.weight)
    assert torch.equal(bottleneck(inputs), inputs)
    inverted = MobileNetV2().eval().features[3]
    torch.nn.init.zeros_(inverted.conv[-1].weight)
    assert torch.equal(inverted(inputs[:, :24]), inputs[:, :24])


def test_activations_of_mobilenetv2_end_at_6():
    assert MobileNetV2().eval().features[0](100 * torch.randn(1, 3, 32, 32)).max() <= 6
