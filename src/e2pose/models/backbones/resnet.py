"""ResNet-50, -101 and -152 as feature extractors.

Source: He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, table 1. Parameter names are those of
torchvision, so its public ImageNet weights load. The classifier is left out.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from torch import Tensor, nn

Downsampling = Literal["conv1", "conv2"]
"""The convolution with stride 2 in the first block of a stage: conv1 in the paper (v1), the 3x3 conv2 in v1.5."""


class _Bottleneck(nn.Module):
    def __init__(self, inputs: int, hidden: int, stride: int, downsampling: Downsampling) -> None:
        super().__init__()
        outputs = 4 * hidden
        first, second = (stride, 1) if downsampling == "conv1" else (1, stride)
        self.conv1 = nn.Conv2d(inputs, hidden, 1, first, bias=False)
        self.bn1 = nn.BatchNorm2d(hidden)
        self.conv2 = nn.Conv2d(hidden, hidden, 3, second, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(hidden)
        self.conv3 = nn.Conv2d(hidden, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Sequential | None = None
        if stride != 1 or inputs != outputs:
            shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        shortcut: Tensor = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        out: Tensor = self.relu(self.bn3(self.conv3(x)) + shortcut)
        return out


class ResNet(nn.Module):
    """A bottleneck ResNet with feature maps of strides 4 to 32.

    Args:
        blocks: Number of blocks in each of the four stages.
        downsampling: The convolution that halves the resolution of a stage. Weights load either way, but only work with
            the one they were trained with: torchvision's with "conv2", those of Caffe and Keras with "conv1".
    """

    channels: ClassVar[dict[int, int]] = {4: 256, 8: 512, 16: 1024, 32: 2048}
    early_channels: ClassVar[dict[int, int]] = channels

    def __init__(self, blocks: tuple[int, int, int, int], downsampling: Downsampling = "conv2") -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self._inputs = 64
        self.layer1 = self._build_stage(64, blocks[0], 1, downsampling)
        self.layer2 = self._build_stage(128, blocks[1], 2, downsampling)
        self.layer3 = self._build_stage(256, blocks[2], 2, downsampling)
        self.layer4 = self._build_stage(512, blocks[3], 2, downsampling)

    def _build_stage(self, hidden: int, blocks: int, stride: int, downsampling: Downsampling) -> nn.Sequential:
        layers = []
        for block in range(blocks):
            layers.append(_Bottleneck(self._inputs, hidden, stride if block == 0 else 1, downsampling))
            self._inputs = 4 * hidden
        return nn.Sequential(*layers)

    def stem_modules(self) -> list[nn.Module]:
        """Returns the layers up to stride 4, which fine-tuning hardly changes."""
        return [self.conv1, self.bn1, self.layer1]

    def forward(self, x: Tensor) -> tuple[dict[int, Tensor], dict[int, Tensor]]:
        """Computes feature maps of normalised images (B, 3, H, W) by stride; last and early maps are the same."""
        c2 = self.layer1(self.maxpool(self.relu(self.bn1(self.conv1(x)))))
        c3 = self.layer2(c2)
        c4 = self.layer3(c3)
        maps = {4: c2, 8: c3, 16: c4, 32: self.layer4(c4)}
        return maps, maps
