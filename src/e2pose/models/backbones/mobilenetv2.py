"""MobileNetV2 as feature extractor.

Source: Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018, table 2. Weight names are
those of torchvision, so its public ImageNet weights load; the classifier and the last 1x1 convolution are left out.
"""

from __future__ import annotations

from torch import Tensor, nn

# expansion, channels, blocks, stride of the first block
_STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


class _ConvBnReLU(nn.Sequential):
    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU6(inplace=True),
        )


class _InvertedResidual(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        widen = [_ConvBnReLU(inputs, hidden, kernel=1)] if expansion != 1 else []
        self.conv = nn.Sequential(
            *widen,
            _ConvBnReLU(hidden, hidden, stride=stride, groups=hidden),
            nn.Conv2d(hidden, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.is_residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x)
        return x + out if self.is_residual else out


class MobileNetV2(nn.Module):
    """MobileNetV2: feature maps at strides 4 to 32.

    Two strides have two stages, the later one with more channels. `channels` are those of the last map of each stride,
    `entry_channels` those of stride 16 after its first stage, and of the others the same.

    Args:
        multiplier: Factor on the channels of all layers, which are then rounded to multiples of 8.
    """

    def __init__(self, multiplier: float = 1.0) -> None:
        super().__init__()
        inputs, stride = _rounded(32 * multiplier), 2
        layers: list[nn.Module] = [_ConvBnReLU(3, inputs, stride=2)]
        self.channels: dict[int, int] = {}
        self.entry_channels: dict[int, int] = {}
        self._last_of_stride: dict[int, int] = {}
        self._entry_of_stride: dict[int, int] = {}
        for expansion, channels, blocks, first_stride in _STAGES:
            outputs = _rounded(channels * multiplier)
            for block in range(blocks):
                layers.append(_InvertedResidual(inputs, outputs, first_stride if block == 0 else 1, expansion))
                inputs = outputs
            stride *= first_stride
            if stride >= 4:
                self.channels[stride] = outputs
                self._last_of_stride[stride] = len(layers) - 1
                if stride != 16 or stride not in self.entry_channels:
                    self.entry_channels[stride] = outputs
                    self._entry_of_stride[stride] = len(layers) - 1
        self.features = nn.Sequential(*layers)

    def stem(self) -> list[nn.Module]:
        """The layers up to stride 4, which hardly change when a pretrained network learns a new task."""
        return list(self.features.children())[: self._last_of_stride[4] + 1]

    def forward(self, x: Tensor) -> tuple[dict[int, Tensor], dict[int, Tensor]]:
        """Turns normalised pictures (B, 3, H, W) into feature maps by stride: the last ones, and the entry ones."""
        maps = []
        for layer in self.features:
            x = layer(x)
            maps.append(x)
        last = {stride: maps[index] for stride, index in self._last_of_stride.items()}
        return last, {stride: maps[index] for stride, index in self._entry_of_stride.items()}


def _rounded(channels: float) -> int:
    """The nearest multiple of 8, but not more than a tenth below; as the authors round."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * channels else nearest
