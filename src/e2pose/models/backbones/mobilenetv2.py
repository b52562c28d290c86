"""MobileNetV2 as a feature extractor.

Source: Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018, table 2. Parameter names
are those of torchvision, so its public ImageNet weights load. The classifier and the last 1x1 convolution are left out.
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
    """MobileNetV2 with feature maps of strides 4 to 32.

    At stride 16, two stages follow each other. `channels` counts the channels of the last map of each stride,
    `early_channels` those of the first stage at stride 16 and otherwise the same.

    Args:
        multiplier: Factor on the channels of all layers, which are rounded to multiples of 8.
    """

    def __init__(self, multiplier: float = 1.0) -> None:
        super().__init__()
        inputs, stride = _round_channels(32 * multiplier), 2
        layers: list[nn.Module] = [_ConvBnReLU(3, inputs, stride=2)]
        self.channels: dict[int, int] = {}
        self.early_channels: dict[int, int] = {}
        self._last_layers: dict[int, int] = {}
        self._early_layers: dict[int, int] = {}
        for expansion, channels, blocks, first_stride in _STAGES:
            outputs = _round_channels(channels * multiplier)
            for block in range(blocks):
                layers.append(_InvertedResidual(inputs, outputs, first_stride if block == 0 else 1, expansion))
                inputs = outputs
            stride *= first_stride
            if stride >= 4:
                self.channels[stride] = outputs
                self._last_layers[stride] = len(layers) - 1
                if stride != 16 or stride not in self.early_channels:
                    self.early_channels[stride] = outputs
                    self._early_layers[stride] = len(layers) - 1
        self.features = nn.Sequential(*layers)

    def stem_modules(self) -> list[nn.Module]:
        """Returns the layers up to stride 4, which fine-tuning hardly changes."""
        return list(self.features.children())[: self._last_layers[4] + 1]

    def forward(self, x: Tensor) -> tuple[dict[int, Tensor], dict[int, Tensor]]:
        """Computes feature maps of normalised images (B, 3, H, W).

        Returns:
            The last maps by stride, with `channels`, and the early maps by stride, with `early_channels`.
        """
        maps = []
        for layer in self.features:
            x = layer(x)
            maps.append(x)
        last = {stride: maps[index] for stride, index in self._last_layers.items()}
        return last, {stride: maps[index] for stride, index in self._early_layers.items()}


def _round_channels(channels: float) -> int:
    """Rounds to a multiple of 8 that is at most a tenth lower, like the authors."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * channels else nearest
