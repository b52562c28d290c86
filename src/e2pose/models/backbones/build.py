"""Backbones by name."""

from __future__ import annotations

from collections.abc import Callable

from e2pose.models.backbones.mobilenetv2 import MobileNetV2
from e2pose.models.backbones.resnet import ResNet

BACKBONES: dict[str, Callable[[], MobileNetV2 | ResNet]] = {
    "mobilenetv2": MobileNetV2,
    "mobilenetv2_150": lambda: MobileNetV2(multiplier=1.5),
    "resnet50": lambda: ResNet((3, 4, 6, 3)),
    "resnet101": lambda: ResNet((3, 4, 23, 3)),
    "resnet152": lambda: ResNet((3, 8, 36, 3)),
    "resnet50_v1": lambda: ResNet((3, 4, 6, 3), downsampling="conv1"),
    "resnet101_v1": lambda: ResNet((3, 4, 23, 3), downsampling="conv1"),
    "resnet152_v1": lambda: ResNet((3, 8, 36, 3), downsampling="conv1"),
}
"""Constructors by the names of `e2pose.models.config.Backbone`; the weights are random."""
