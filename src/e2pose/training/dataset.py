"""Training images in an order that depends on nothing but seed and number."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.utils.data import Dataset

from e2pose.core.errors import AnnotationError
from e2pose.core.schema import KeypointSchema
from e2pose.formats.coco import CocoImage
from e2pose.sources.images import read_image
from e2pose.training.augment import person_affine, place, random_affine
from e2pose.training.colours import degrade, vary_colours
from e2pose.training.config import Recipe
from e2pose.training.mixing import Piece, cut_out, draw_tiles, mosaic, paste
from e2pose.training.sets import ImageSet
from e2pose.training.target import CanvasLabels, Target, collate_labels
from e2pose.transforms.fit import fit_affine

Pixels = UInt8[np.ndarray, "_ _ 3"]
Sample = tuple[Pixels, CanvasLabels]


_PIECE_SIZES = (0.25, 0.75)  # longer side of a pasted person relative to the shorter side of the canvas


class TrainingImages(Dataset[Sample]):
    """Canvas `n` of a training: which images it shows and how they are varied is drawn from the seed and `n` alone.

    In the last part of a training, the recipe's `augment.clean`, canvases are less strange. Which part a canvas belongs
    to is known from its number too: step `s` sees the canvases from `s * batch_size` on.

    Args:
        sets: What to draw from.
        recipe: Canvas, augmentation, number of canvases and seed.
        schema: The keypoints.
    """

    def __init__(self, sets: Sequence[ImageSet], recipe: Recipe, schema: KeypointSchema) -> None:
        self._sets = sets
        self._recipe = recipe
        self._schema = schema
        weights = np.array([part.weight for part in sets], dtype=np.float64)
        self._chances = weights / weights.sum()
        self._clean_from = round(recipe.optim.steps * (1 - recipe.augment.clean)) * recipe.optim.batch_size
        self._cache: dict[Path, Pixels] = {}
        if recipe.data.cache:
            self._fill_cache()

    def __getitem__(self, number: int) -> Sample:
        """Draws canvas `number`."""
        recipe = self._recipe
        config = recipe.augment if number < self._clean_from else recipe.augment.cleaned()
        rng = np.random.default_rng([recipe.seed, number])
        sample = self._mosaic(rng) if rng.random() < config.mosaic else self._place(rng, recipe.canvas_hw)
        if rng.random() < config.paste:
            for _ in range(rng.integers(1, 4)):
                sample = self._paste(sample, rng)
        if rng.random() < config.cutout:
            for _ in range(rng.integers(1, 4)):
                sample = cut_out(sample, rng)
        pixels, labels = sample
        return degrade(vary_colours(pixels, config, rng), config, rng), labels

    def _mosaic(self, rng: np.random.Generator) -> Sample:
        grids, canvas_hw = self._recipe.augment.grids, self._recipe.canvas_hw
        boxes = draw_tiles(grids[rng.integers(len(grids))], canvas_hw, rng)
        return mosaic([self._place(rng, (height, width)) for _, _, width, height in boxes], boxes, canvas_hw)

    def _place(self, rng: np.random.Generator, canvas_hw: tuple[int, int]) -> Sample:
        part, image = self._draw(rng)
        affine = random_affine(image.size_hw, canvas_hw, self._recipe.fit, self._recipe.augment, rng)
        return place(self._pixels(part, image), image, self._schema, affine, canvas_hw)

    def _paste(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Lays a person over the canvas, unless the image that was drawn shows nobody or the person is too large."""
        part, image = self._draw(rng)
        persons = [person for person in image.persons if person.is_posed and min(person.box[2:]) > 0]
        if not persons:
            return sample
        canvas_hw = self._recipe.canvas_hw
        size = min(canvas_hw) * float(np.exp(rng.uniform(*np.log(_PIECE_SIZES))))
        person = persons[rng.integers(len(persons))]
        affine, size_hw = person_affine(person, size, self._recipe.augment, rng)
        piece = Piece.take(self._pixels(part, image), image, self._schema, affine, size_hw)
        room_hw = np.array(canvas_hw) - piece.pixels.shape[:2]
        if room_hw.min() < 0:
            return sample
        y, x = rng.integers(0, room_hw + 1).tolist()
        return paste(sample, piece, (x, y))

    def _draw(self, rng: np.random.Generator) -> tuple[ImageSet, CocoImage]:
        part = self._sets[rng.choice(len(self._sets), p=self._chances)]
        return part, part.annotations.images[rng.integers(len(part.annotations.images))]

    def _pixels(self, part: ImageSet, image: CocoImage) -> Pixels:
        path = part.folder / image.file_name
        cached = self._cache.get(path)
        return self._read(path, image) if cached is None else cached

    def _read(self, path: Path, image: CocoImage) -> Pixels:
        pixels = read_image(path)
        if pixels.shape[:2] != image.size_hw:
            raise AnnotationError(
                f"'{path}' has {pixels.shape[0]}x{pixels.shape[1]} pixels, but its annotation says "
                f"{image.size_hw[0]}x{image.size_hw[1]}",
                "correct the annotation, or scale the image",
            )
        return pixels

    def _read_small(self, path: Path, image: CocoImage) -> Pixels:
        """Reads an image, no larger than the largest scale of the augmentation needs it."""
        recipe, pixels = self._recipe, self._read(path, image)
        fitted = fit_affine(image.size_hw, recipe.canvas_hw, recipe.fit).matrix
        scale = float(fitted[:, :2].max()) * max(recipe.augment.scale)
        if scale >= 1:
            return pixels
        return np.asarray(cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))

    def _fill_cache(self) -> None:
        wanted = {part.folder / image.file_name: image for part in self._sets for image in part.annotations.images}
        with ThreadPoolExecutor() as pool:
            decoded = pool.map(self._read_small, wanted.keys(), wanted.values())
            self._cache = dict(zip(wanted, decoded, strict=True))


def collate(samples: Sequence[Sample]) -> tuple[Tensor, Target]:
    """Puts samples into one batch: canvases (B, 3, H, W) uint8 and their target."""
    pixels = np.stack([pixels for pixels, _ in samples])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2), collate_labels([labels for _, labels in samples])
