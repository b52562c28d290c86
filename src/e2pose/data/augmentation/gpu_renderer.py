"""From the plans of a batch to its pixels, all at once, on the device where the network is.

What comes out is that of `e2pose.data.augmentation.render`, but for rounding, other noise, and pictures that shrink to
half or less, which are read from a copy of half the size instead of an average over a whole number of pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from e2pose.core.errors import TrainingError
from e2pose.data.augmentation.jpeg import compress
from e2pose.data.augmentation.plan import CanvasPlan
from e2pose.data.image_store import PictureStore
from e2pose.transforms.warp import BORDER_RGB

_HALVINGS = 3  # copies of each picture, each half as large as the one before
_BLUR_RADIUS = 5  # pixels; more than three standard deviations of the strongest blur


@dataclass(frozen=True, eq=False)
class PlanBatch:
    """The plans of B canvases as tensors: L layers from below to above, and C cut-outs.

    Args:
        canvas: (L,) which canvas a layer is on.
        depth: (L,) how many layers of the same canvas are below it.
        picture: (L,) its picture.
        to_picture: (L, 2, 3) map from pixels of the canvas to those of the picture in its own size.
        box: (L, 4) x, y, width and height of its part of the canvas.
        edge: (L,) half of the width of its soft edge.
        cut_canvas: (C,) which canvas a cut-out is on.
        cut_box: (C, 4) its x, y, width and height.
        cut_rgb: (C, 3) its colour.
        colours: (B, 3, 4), and so on: see `e2pose.data.augmentation.plan.Finish`.
        blur: (B,)
        noise: (B,)
        noise_seed: (B,)
        quality: (B,)
    """

    canvas: Tensor
    depth: Tensor
    picture: Tensor
    to_picture: Tensor
    box: Tensor
    edge: Tensor
    cut_canvas: Tensor
    cut_box: Tensor
    cut_rgb: Tensor
    colours: Tensor
    blur: Tensor
    noise: Tensor
    noise_seed: Tensor
    quality: Tensor

    @staticmethod
    def of(plans: Sequence[CanvasPlan]) -> PlanBatch:
        """Puts plans into one batch."""
        layers = [(index, depth, one) for index, plan in enumerate(plans) for depth, one in enumerate(plan.layers)]
        cuts = [(index, cut) for index, plan in enumerate(plans) for cut in plan.cuts]
        finishes = [plan.finish for plan in plans]
        return PlanBatch(
            canvas=torch.tensor([index for index, _, _ in layers]),
            depth=torch.tensor([depth for _, depth, _ in layers]),
            picture=torch.tensor([one.picture for _, _, one in layers]),
            to_picture=torch.from_numpy(np.stack([one.affine.inverse.matrix for _, _, one in layers])).float(),
            box=torch.tensor([one.box for _, _, one in layers]),
            edge=torch.tensor([one.edge for _, _, one in layers]),
            cut_canvas=torch.tensor([index for index, _ in cuts], dtype=torch.long),
            cut_box=torch.tensor([cut.box for _, cut in cuts], dtype=torch.long).reshape(-1, 4),
            cut_rgb=torch.tensor([cut.rgb for _, cut in cuts], dtype=torch.float32).reshape(-1, 3),
            colours=torch.from_numpy(np.stack([one.colours for one in finishes])),
            blur=torch.tensor([one.blur for one in finishes]),
            noise=torch.tensor([one.noise for one in finishes]),
            noise_seed=torch.tensor([one.noise_seed for one in finishes]),
            quality=torch.tensor([one.quality for one in finishes]),
        )


class DeviceRenderer:
    """Makes canvases of pictures that live on a device, in one row of pixels.

    Args:
        pictures: All pictures; copied.
        input_size_hw: Height and width of the canvases.
        device: Where to keep the pictures and to make the canvases.

    Raises:
        TrainingError: The device has not enough memory for the pictures.
    """

    def __init__(self, pictures: PictureStore, input_size_hw: tuple[int, int], device: torch.device) -> None:
        self._canvas_hw = input_size_hw
        self._device = device
        sizes_hw = np.array([pictures[number].shape[:2] for number in range(len(pictures))])
        copies_hw = np.stack([np.maximum(1, sizes_hw >> level) for level in range(_HALVINGS)], axis=1)
        counts = copies_hw.prod(axis=2)
        starts = np.concatenate([[0], counts.ravel().cumsum()])
        self._pixels = self._room_for(int(starts[-1]))
        for number in range(len(pictures)):
            copies = [_shrunk(pictures[number], *size_hw) for size_hw in copies_hw[number].tolist()]
            first = int(starts[number * _HALVINGS])
            together = np.concatenate([copy.reshape(-1, 3) for copy in copies])
            self._pixels[first : first + len(together)] = torch.from_numpy(together).to(device)
        self._starts = torch.from_numpy(starts[:-1].reshape(-1, _HALVINGS)).to(device)
        self._copies_hw = torch.from_numpy(copies_hw).to(device)
        own_hw = torch.tensor([pictures.size_hw(number) for number in range(len(pictures))])
        self._own_wh = own_hw.flip(1).to(device, torch.float32)

    def __call__(self, plans: PlanBatch) -> Tensor:
        """Makes the canvases (B, 3, H, W), uint8 RGB, channels last in memory."""
        here = PlanBatch(
            **{f.name: getattr(plans, f.name).to(self._device, non_blocking=True) for f in fields(PlanBatch)}
        )
        canvases = torch.zeros(len(plans.blur), *self._canvas_hw, 3, device=self._device)
        for depth in range(int(plans.depth.max()) + 1):
            chosen = (plans.depth == depth).nonzero().squeeze(1).to(self._device)
            on = here.canvas[chosen]
            shares = self._shares(here.box[chosen], here.edge[chosen]).unsqueeze(3)
            shown = self._read(here.picture[chosen], here.to_picture[chosen])
            canvases[on] = torch.lerp(canvases[on], shown, shares)
        for canvas, (x, y, width, height), rgb in zip(
            plans.cut_canvas.tolist(), plans.cut_box.tolist(), here.cut_rgb, strict=True
        ):
            canvases[canvas, y : y + height, x : x + width] = rgb
        colours = here.colours.transpose(1, 2)
        mixed = (canvases.flatten(1, 2) @ colours[:, :3] + colours[:, 3:]).reshape(canvases.shape).clamp(0, 255)
        return self._finish(mixed.permute(0, 3, 1, 2), plans).round().to(torch.uint8)

    def _room_for(self, count: int) -> Tensor:
        try:
            return torch.empty(count, 3, dtype=torch.uint8, device=self._device)
        except torch.OutOfMemoryError as error:
            raise TrainingError(
                f"the images need {3 * count / 1e9:.1f} GB of memory on {self._device}, which are not there",
                "set data.cache to false, or learn from fewer images",
            ) from error

    def _shares(self, box: Tensor, edge: Tensor) -> Tensor:
        """(L, H, W): how far each layer covers what lies below, from 0 to 1."""
        height, width = self._canvas_hw
        ramps = []
        for axis, length in ((1, height), (0, width)):
            place = torch.arange(length, device=self._device) + 0.5 - box[:, axis, None]
            inside = torch.minimum(place, box[:, axis + 2, None] - place)
            soft = (inside / (2 * edge[:, None]).clamp(min=1)).clamp(max=1)
            ramps.append(torch.where(edge[:, None] > 0, soft, 1.0) * (inside > 0))
        return torch.minimum(ramps[0][:, :, None], ramps[1][:, None, :])

    def _read(self, picture: Tensor, to_picture: Tensor) -> Tensor:
        """(L, H, W, 3): what each layer would show if it covered the whole canvas, between the nearest four pixels."""
        height, width = self._canvas_hw
        shrinking = torch.linalg.vector_norm(self._to_copy(picture, to_picture, 0)[:, :, :2], dim=2).amin(dim=1)
        level = shrinking.clamp(min=1).log2().floor().clamp(max=_HALVINGS - 1).long()
        place = self._to_copy(picture, to_picture, level)
        x = torch.arange(width, device=self._device) + 0.5
        y = torch.arange(height, device=self._device) + 0.5
        across, down, start = place[:, :, None, None].unbind(-1)
        xy = across * x + down * y[:, None] + start - 0.5  # (L, 2, H, W)
        low = xy.floor()
        part = (xy - low).unsqueeze(-1)
        copy_hw = self._copies_hw[picture, level]
        limits = copy_hw.flip(1)[:, :, None, None]
        first = self._starts[picture, level][:, None, None]
        border = torch.tensor(BORDER_RGB, device=self._device, dtype=torch.uint8)
        shown = torch.zeros(len(picture), height, width, 3, device=self._device)
        for dx, dy in ((0, 0), (1, 0), (0, 1), (1, 1)):
            corner = low.long() + torch.tensor([dx, dy], device=self._device)[:, None, None]
            inside = ((corner >= 0) & (corner < limits)).all(dim=1).unsqueeze(-1)
            column, row = corner.clamp(min=0).minimum(limits - 1).unbind(1)
            pixels = self._pixels[first + row * limits[:, 0] + column]
            weight = (part[:, 0] if dx else 1 - part[:, 0]) * (part[:, 1] if dy else 1 - part[:, 1])
            shown += weight * torch.where(inside, pixels, border)
        return shown

    def _to_copy(self, picture: Tensor, to_picture: Tensor, level: Tensor | int) -> Tensor:
        """(L, 2, 3): maps from pixels of the canvas to those of a copy."""
        copy_wh = self._copies_hw[picture, level].flip(1)
        return to_picture * (copy_wh / self._own_wh[picture])[:, :, None]

    def _finish(self, pixels: Tensor, plans: PlanBatch) -> Tensor:
        """Blurs, adds noise and compresses where it was planned."""
        for index in plans.blur.nonzero().squeeze(1).tolist():
            pixels[index] = _blurred(pixels[index], float(plans.blur[index]))
        for index in plans.noise.nonzero().squeeze(1).tolist():
            chance = torch.Generator(self._device).manual_seed(int(plans.noise_seed[index]))
            noise = torch.randn(pixels.shape[1:], generator=chance, device=self._device)
            pixels[index] = (pixels[index] + float(plans.noise[index]) * noise).clamp(0, 255)
        for index in plans.quality.nonzero().squeeze(1).tolist():
            pixels[index] = compress(pixels[index], int(plans.quality[index]))
        return pixels


def _shrunk(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    if pixels.shape[:2] == (height, width):
        return pixels
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA))


def _blurred(pixels: Tensor, deviation: float) -> Tensor:
    """A picture (3, H, W) under a Gaussian."""
    way = torch.arange(-_BLUR_RADIUS, _BLUR_RADIUS + 1, device=pixels.device)
    kernel = torch.exp(-0.5 * (way / deviation).square())
    kernel = kernel / kernel.sum()
    wide = functional.pad(pixels.unsqueeze(1), [_BLUR_RADIUS] * 4, mode="reflect")
    return functional.conv2d(functional.conv2d(wide, kernel[None, None, None]), kernel[None, None, :, None]).squeeze(1)
