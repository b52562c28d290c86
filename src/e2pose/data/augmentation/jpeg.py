"""What compression as a JPEG file does to pixels, without the file.

Source: ITU-T recommendation T.81: the cosine transform of annex A.3.3 and the tables K.1 and K.2 of annex K, scaled by
quality as the library of the Independent JPEG Group does; colours in half the resolution (JFIF 1.02).
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

_LUMA = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMA = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *(((99,) * 8,) * 4),
)
_TO_YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))


def compress(pixels: Tensor, quality: int) -> Tensor:
    """A picture (3, H, W), RGB from 0 to 255, as it would come out of a file.

    Args:
        pixels: The picture.
        quality: 1 to 100.
    """
    height, width = pixels.shape[1:]
    to_ycc = _constant(_TO_YCC, pixels.device)
    rows, columns = -height % 16, -width % 16
    padded = functional.pad(pixels.unsqueeze(0), [0, columns, 0, rows], mode="replicate")[0]
    ycc = torch.einsum("ij,jhw->ihw", to_ycc, padded)
    luma = _quantised(ycc[:1] - 128, _LUMA, quality) + 128
    chroma = _quantised(functional.avg_pool2d(ycc[1:], 2), _CHROMA, quality)
    chroma = functional.interpolate(chroma.unsqueeze(0), scale_factor=2, mode="bilinear", align_corners=False)[0]
    rgb = torch.einsum("ij,jhw->ihw", torch.linalg.inv(to_ycc), torch.cat([luma, chroma]))
    return rgb[:, :height, :width].clamp(0, 255)


def _quantised(planes: Tensor, table: tuple[tuple[int, ...], ...], quality: int) -> Tensor:
    """Planes (C, H, W) after their blocks of 8 x 8 were transformed, rounded to the table's steps and put back."""
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    steps = torch.floor((_constant(table, planes.device) * scale + 50) / 100).clamp(1, 255)
    basis = _cosines(planes.device)
    count, height, width = planes.shape
    blocks = planes.reshape(count, height // 8, 8, width // 8, 8).transpose(2, 3)
    steps_of = (basis @ blocks @ basis.T / steps).round() * steps
    return (basis.T @ steps_of @ basis).transpose(2, 3).reshape(count, height, width)


@cache
def _constant(rows: tuple[tuple[float, ...], ...], device: torch.device) -> Tensor:
    return torch.tensor(rows, dtype=torch.float32, device=device)


@cache
def _cosines(device: torch.device) -> Tensor:
    """(8, 8): the cosine transform of eight values."""
    index = torch.arange(8, device=device)
    waves = torch.cos((2 * index + 1) * index[:, None] * torch.pi / 16) / 2
    return torch.cat([waves[:1] / 2**0.5, waves[1:]])
