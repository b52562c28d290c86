"""Training images in an order that depends on nothing but seed and number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch.utils.data import Dataset

from e2pose.core.annotations import ImageAnnotation
from e2pose.core.schema import KeypointSchema
from e2pose.data.augmentation.colour import draw_finish
from e2pose.data.augmentation.geometry import move_labels, person_affine, random_affine
from e2pose.data.augmentation.mosaic import Scene, cut_out, draw_tiles, mosaic, paste, take_piece
from e2pose.data.augmentation.plan import CanvasPlan, Layer
from e2pose.data.augmentation.render import render
from e2pose.data.image_sets import ImageSet
from e2pose.data.image_store import Pictures, Pixels
from e2pose.data.targets import CanvasLabels
from e2pose.training.recipe import Recipe

Sample = tuple[Pixels, CanvasLabels]
Plan = tuple[CanvasPlan, CanvasLabels]

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
        self.pictures = Pictures(sets, recipe)
        self._images = [part.annotations.images for part in sets]
        self._first = np.cumsum([0, *map(len, self._images)]).tolist()
        self._recipe = recipe
        self._schema = schema
        weights = np.array([part.weight for part in sets], dtype=np.float64)
        self._chances = weights / weights.sum()
        self._clean_from = round(recipe.optim.steps * (1 - recipe.augment.clean)) * recipe.optim.batch_size

    def __getitem__(self, number: int) -> Sample:
        """Makes canvas `number`."""
        plan, labels = self.plan(number)
        return render(plan, self.pictures, self._recipe.input_size_hw), labels

    def plan(self, number: int) -> Plan:
        """Draws what canvas `number` shows."""
        recipe = self._recipe
        config = recipe.augment if number < self._clean_from else recipe.augment.cleaned()
        rng = np.random.default_rng([recipe.seed, number])
        scene = self._mosaic(rng) if rng.random() < config.mosaic else self._place(rng, recipe.input_size_hw)
        if rng.random() < config.paste:
            for _ in range(rng.integers(1, 4)):
                scene = self._paste(scene, rng)
        if rng.random() < config.cutout:
            for _ in range(rng.integers(1, 4)):
                scene = cut_out(scene, recipe.input_size_hw, rng)
        return CanvasPlan(scene.layers, scene.cuts, draw_finish(config, rng)), scene.labels

    def _mosaic(self, rng: np.random.Generator) -> Scene:
        grids = self._recipe.augment.grids
        boxes = draw_tiles(grids[rng.integers(len(grids))], self._recipe.input_size_hw, rng)
        return mosaic([self._place(rng, (height, width)) for _, _, width, height in boxes], boxes)

    def _place(self, rng: np.random.Generator, input_size_hw: tuple[int, int]) -> Scene:
        picture, image = self._draw(rng)
        affine = random_affine(image.size_hw, input_size_hw, self._recipe.fit, self._recipe.augment, rng)
        box = (0, 0, input_size_hw[1], input_size_hw[0])
        return Scene((Layer(picture, affine, box),), move_labels(image, self._schema, affine, input_size_hw))

    def _paste(self, scene: Scene, rng: np.random.Generator) -> Scene:
        """Lays a person over the canvas, unless the image that was drawn shows nobody or the person is too large."""
        picture, image = self._draw(rng)
        persons = [person for person in image.persons if person.has_keypoints and min(person.box[2:]) > 0]
        if not persons:
            return scene
        input_size_hw = self._recipe.input_size_hw
        size = min(input_size_hw) * float(np.exp(rng.uniform(*np.log(_PIECE_SIZES))))
        person = persons[rng.integers(len(persons))]
        affine, size_hw = person_affine(person, size, self._recipe.augment, rng)
        piece = take_piece(picture, image, self._schema, affine, size_hw)
        _, _, width, height = piece.layers[0].box
        room_hw = np.array([input_size_hw[0] - height, input_size_hw[1] - width])
        if room_hw.min() < 0:
            return scene
        y, x = rng.integers(0, room_hw + 1).tolist()
        return paste(scene, piece, (x, y))

    def _draw(self, rng: np.random.Generator) -> tuple[int, ImageAnnotation]:
        """An image and its number."""
        part = int(rng.choice(len(self._images), p=self._chances))
        index = int(rng.integers(len(self._images[part])))
        return self._first[part] + index, self._images[part][index]
