"""Training images in an order that depends on nothing but seed and number."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.utils.data import Dataset

from e2pose.core.errors import AnnotationError
from e2pose.core.schema import KeypointSchema
from e2pose.formats.coco import CocoDataset, CocoImage, read_coco
from e2pose.sources.images import read_image
from e2pose.training import augment
from e2pose.training.config import DataSetConfig, Recipe
from e2pose.training.target import CanvasLabels, Target, collate_labels

Sample = tuple[UInt8[np.ndarray, "_ _ 3"], CanvasLabels]


@dataclass(frozen=True, eq=False)
class ImageSet:
    """The images of one set that are learned from, and those held out.

    Args:
        folder: Where the image files are.
        annotations: Images that are learned from.
        heldout: Images of the same set that are not.
        weight: Share of the training images drawn from this set, relative to the other sets.
    """

    folder: Path
    annotations: CocoDataset
    heldout: CocoDataset
    weight: float


def open_set(config: DataSetConfig, root: Path, schema: KeypointSchema) -> ImageSet:
    """Reads the annotations of a set.

    Raises:
        AnnotationError: They cannot be read, have other keypoints, or no image.
    """
    folder = root / config.path
    dataset = read_coco(folder / "annotations.json")
    if dataset.schema.keypoints != schema.keypoints:
        raise AnnotationError(
            f"'{folder}' has the keypoints {', '.join(dataset.schema.keypoints)}, not those of '{schema.name}'",
            "choose the schema of the annotations in the recipe",
        )
    if not dataset.images:
        raise AnnotationError(f"'{folder}' lists no image", "remove the set from the recipe")
    held = [config.holdout is not None and index % config.holdout == 0 for index in range(len(dataset.images))]
    learned = tuple(image for image, out in zip(dataset.images, held, strict=True) if not out)
    heldout = tuple(image for image, out in zip(dataset.images, held, strict=True) if out)
    return ImageSet(folder / "images", CocoDataset(schema, learned), CocoDataset(schema, heldout), config.weight)


class TrainingImages(Dataset[Sample]):
    """Canvas `n` of a training: which images it shows and how they are varied is drawn from the seed and `n` alone.

    Args:
        sets: What to draw from.
        recipe: Canvas, augmentation and seed.
        schema: The keypoints.
    """

    def __init__(self, sets: Sequence[ImageSet], recipe: Recipe, schema: KeypointSchema) -> None:
        self._sets = sets
        self._recipe = recipe
        self._schema = schema
        weights = np.array([part.weight for part in sets], dtype=np.float64)
        self._chances = weights / weights.sum()
        self._cache: dict[Path, UInt8[np.ndarray, "h w 3"]] = {}
        if recipe.data.cache:
            self._fill_cache()

    def __getitem__(self, number: int) -> Sample:
        """Draws canvas `number`."""
        recipe, config = self._recipe, self._recipe.augment
        rng = np.random.default_rng([recipe.seed, number])
        if rng.random() < config.mosaic:
            pixels, labels = self._mosaic(rng)
        else:
            pixels, labels = self._place(rng, recipe.canvas_hw)
        return augment.vary_colours(pixels, config, rng), labels

    def _mosaic(self, rng: np.random.Generator) -> Sample:
        height, width = self._recipe.canvas_hw
        center = int(width * rng.uniform(0.35, 0.65)), int(height * rng.uniform(0.35, 0.65))
        tiles = [self._place(rng, size) for size in augment.tile_sizes(center, (height, width))]
        return augment.mosaic(tiles, center, (height, width))

    def _place(self, rng: np.random.Generator, canvas_hw: tuple[int, int]) -> Sample:
        part = self._sets[rng.choice(len(self._sets), p=self._chances)]
        image = part.annotations.images[rng.integers(len(part.annotations.images))]
        pixels = self._pixels(part, image)
        size_hw = pixels.shape[0], pixels.shape[1]
        affine = augment.random_affine(size_hw, canvas_hw, self._recipe.fit, self._recipe.augment, rng)
        return augment.place(pixels, image, self._schema, affine, canvas_hw)

    def _pixels(self, part: ImageSet, image: CocoImage) -> UInt8[np.ndarray, "h w 3"]:
        path = part.folder / image.file_name
        cached = self._cache.get(path)
        if cached is not None:
            return cached
        pixels = read_image(path)
        if pixels.shape[:2] != image.size_hw:
            raise AnnotationError(
                f"'{path}' has {pixels.shape[0]}x{pixels.shape[1]} pixels, but its annotation says "
                f"{image.size_hw[0]}x{image.size_hw[1]}",
                "correct the annotation, or scale the image",
            )
        return pixels

    def _fill_cache(self) -> None:
        wanted = [(part, image) for part in self._sets for image in part.annotations.images]
        with ThreadPoolExecutor() as pool:
            decoded = pool.map(lambda pair: self._pixels(*pair), wanted)
            self._cache = {
                part.folder / image.file_name: pixels for (part, image), pixels in zip(wanted, decoded, strict=True)
            }


def collate(samples: Sequence[Sample]) -> tuple[Tensor, Target]:
    """Puts samples into one batch: canvases (B, 3, H, W) uint8 and their target."""
    pixels = np.stack([pixels for pixels, _ in samples])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2), collate_labels([labels for _, labels in samples])
