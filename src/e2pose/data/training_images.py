"""Augmented training images, reproducible from the seed and the number of the image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch.utils.data import Dataset

from e2pose.core.annotations import ImageAnnotation
from e2pose.core.errors import AnnotationError, E2PoseError, InputError
from e2pose.core.schema import KeypointSchema
from e2pose.core.spec import Fit
from e2pose.data.augmentation.composition import Composition, Layer, render
from e2pose.data.augmentation.effects import Effects, apply_effects, draw_effects
from e2pose.data.augmentation.geometry import random_affine, random_person_affine, transform_labels
from e2pose.data.augmentation.mosaic import add_cut_out, draw_tiles, extract_piece, join_tiles, paste
from e2pose.data.config import AugmentConfig
from e2pose.data.image_sets import ImageSet
from e2pose.data.image_store import ImageStore, Pixels
from e2pose.data.mirroring import resolve_flip
from e2pose.data.selection import find_reason
from e2pose.data.targets import SampleLabels

Sample = tuple[Pixels, SampleLabels]

_MAX_ATTEMPTS = 20  # to draw a training image whose source images can be read
_PASTE_SIZE = (0.25, 0.75)  # longer side of a pasted person, relative to the shorter side of the training image


class TrainingImages(Dataset[Sample]):
    """Training image `n`: its source images and augmentation depend only on the seed and `n`.

    The last part of the training, `augment.clean`, uses weaker augmentation. Step `s` consists of the images from
    `s * batch_size` on, so `n` also determines whether an image belongs to that part. With `cache`, decoded images are
    kept in memory, see `ImageStore`.

    Images that cannot be used are never drawn; `image_errors` holds their errors for each set, by index of the image.
    """

    def __init__(
        self,
        sets: Sequence[ImageSet],
        schema: KeypointSchema,
        *,
        input_size_hw: tuple[int, int],
        fit: Fit,
        augment: AugmentConfig,
        steps: int,
        batch_size: int,
        seed: int = 0,
        cache: bool = True,
    ) -> None:
        self.store = ImageStore(sets, input_size_hw=input_size_hw, fit=fit, max_scale=max(augment.scale), cache=cache)
        sizes = [len(part.training.images) for part in sets]
        offsets = np.cumsum([0, *sizes]).tolist()
        self.image_errors: list[dict[int, E2PoseError]] = [
            {number - start: error for number, error in self.store.errors.items() if start <= number < start + size}
            for start, size in zip(offsets, sizes, strict=False)
        ]
        self._images = [
            [(start + i, image) for i, image in enumerate(part.training.images) if i not in errors]
            for start, part, errors in zip(offsets, sets, self.image_errors, strict=False)
        ]
        weights = np.array([part.weight for part in sets], dtype=np.float64)
        self._probabilities = weights / weights.sum()
        self._schema = schema
        self._size_hw = input_size_hw
        self._fit: Fit = fit
        self._augment = resolve_flip(augment, schema)
        self._first_clean = round(steps * (1 - augment.clean)) * batch_size
        self._seed = seed

    def __getitem__(self, number: int) -> Sample:
        """Returns the pixels (H, W, 3) uint8 RGB and the labels of training image `number`."""
        return self.read(number)[0]

    def read(self, number: int) -> tuple[Sample, list[E2PoseError]]:
        """Returns training image `number`, and the errors of images that cannot be read any more.

        A training image with such an image is replaced by one of a single other image.

        Raises:
            InputError: Many images in succession cannot be read.
        """
        errors: list[E2PoseError] = []
        for attempt in range(_MAX_ATTEMPTS):
            composition, effects = self.draw(number) if not attempt else self._draw_replacement(number, attempt)
            try:
                pixels = apply_effects(render(composition, self.store, self._size_hw), effects)
            except (AnnotationError, InputError) as error:
                errors.append(error)
            else:
                return (pixels, composition.labels), errors
        raise InputError(
            f"{len(errors)} images in succession cannot be read any more; the last error: {errors[-1].message}",
            "make the files of the image sets available again and continue with --resume",
        )

    def draw(self, number: int) -> tuple[Composition, Effects]:
        """Draws composition and effects of training image `number` without reading any pixels."""
        config = self._augment if number < self._first_clean else self._augment.cleaned()
        rng = np.random.default_rng([self._seed, number])
        composition = self._draw_mosaic(rng) if rng.random() < config.mosaic else self._draw_single(self._size_hw, rng)
        if rng.random() < config.paste:
            for _ in range(rng.integers(1, 4)):
                composition = self._paste_person(composition, rng)
        if rng.random() < config.cutout:
            for _ in range(rng.integers(1, 4)):
                composition = add_cut_out(composition, self._size_hw, rng)
        return composition, draw_effects(config, rng)

    def _draw_replacement(self, number: int, attempt: int) -> tuple[Composition, Effects]:
        rng = np.random.default_rng([self._seed, number, attempt])
        return self._draw_single(self._size_hw, rng), draw_effects(self._augment.cleaned(), rng)

    def _draw_mosaic(self, rng: np.random.Generator) -> Composition:
        grids = self._augment.grids
        boxes = draw_tiles(grids[rng.integers(len(grids))], self._size_hw, rng)
        return join_tiles([self._draw_single((height, width), rng) for _, _, width, height in boxes], boxes)

    def _draw_single(self, size_hw: tuple[int, int], rng: np.random.Generator) -> Composition:
        number, image = self._draw_image(rng)
        affine = random_affine(image.size_hw, size_hw, self._fit, self._augment, rng)
        layer = Layer(number, affine, (0, 0, size_hw[1], size_hw[0]))
        return Composition((layer,), transform_labels(image, self._schema, affine, size_hw))

    def _paste_person(self, below: Composition, rng: np.random.Generator) -> Composition:
        """Pastes a person of a random image, if there is one and it fits into the training image."""
        number, image = self._draw_image(rng)
        persons = [one for one in image.persons if find_reason(one, image) is None and min(one.box[2:]) > 0]
        if not persons:
            return below
        size = min(self._size_hw) * float(np.exp(rng.uniform(*np.log(_PASTE_SIZE))))
        person = persons[rng.integers(len(persons))]
        affine, piece_hw = random_person_affine(person, size, self._augment, rng)
        piece = extract_piece(number, image, self._schema, affine, piece_hw)
        _, _, width, height = piece.layers[0].box
        free_hw = np.array([self._size_hw[0] - height, self._size_hw[1] - width])
        if free_hw.min() < 0:
            return below
        y, x = rng.integers(0, free_hw + 1).tolist()
        return paste(below, piece, (x, y))

    def _draw_image(self, rng: np.random.Generator) -> tuple[int, ImageAnnotation]:
        """Draws a set by weight and one of its images; returns the image's number in the store."""
        part = int(rng.choice(len(self._images), p=self._probabilities))
        return self._images[part][int(rng.integers(len(self._images[part])))]
