"""Prints parameters, multiply-accumulates and candidates of the ten published layouts as a Markdown table.

    python examples/model_sizes.py

Needs the extra `train`.
"""

import torch
from torch.utils.flop_counter import FlopCounterMode

from e2pose.models.build import build_network
from e2pose.models.config import NetworkConfig

LAYOUTS = (
    ("mobilenetv2", 320, 320),
    ("mobilenetv2", 448, 512),
    ("resnet50", 320, 320),
    ("resnet50", 384, 448),
    ("resnet50", 512, 512),
    ("resnet101", 448, 448),
    ("resnet101", 480, 480),
    ("resnet101", 512, 512),
    ("resnet152", 384, 448),
    ("resnet152", 448, 448),
)


def main() -> None:
    """Builds each network without memory for its weights and counts."""
    print("| backbone | input size (H x W) | candidates | parameters, M | of which backbone, M | GMACs |")
    print("|---|---|---|---|---|---|")
    for backbone, height, width in LAYOUTS:
        with torch.device("meta"), FlopCounterMode(display=False) as counter, torch.no_grad():
            network = build_network(NetworkConfig(backbone=backbone), num_keypoints=17).eval()
            prediction = network(torch.zeros(1, 3, height, width, dtype=torch.uint8))
        total, part = (sum(p.numel() for p in module.parameters()) / 1e6 for module in (network, network.backbone))
        gmacs = counter.get_total_flops() / 2e9
        num_candidates = prediction.person_logits.shape[1]
        print(f"| {backbone} | {height} x {width} | {num_candidates} | {total:.2f} | {part:.2f} | {gmacs:.2f} |")


if __name__ == "__main__":
    main()
