"""A synthetic image set and a recipe that trains on it."""

import json
from pathlib import Path

import cv2
import numpy as np

from e2pose.core.annotations import Annotations, ImageAnnotation, PersonAnnotation
from e2pose.core.schema import load_schema
from e2pose.formats.coco import to_coco_annotations
from e2pose.training.reporter import TrainingReporter

SCHEMA = load_schema("coco")
_RECIPE = """
name = "synthetic"
input_size_hw = [96, 96]
device = "cpu"
workers = 0
preview_every = 0
save_every = {save_every}
log_every = 4
[data]
root = "{root}"
sets = [{{ path = "synthetic" }}]
[network]
strides = [16, 32]
width = 32
[initial]
freeze_stem = false
freeze_batch_norm = false
[augment]
flip = 0.0
scale = [0.999, 1.001]
rotation = 0.0
aspect = 0.0
shift = 0.0
mosaic = 0.0
[optim]
steps = {steps}
batch_size = 4
learning_rate = 4e-3
backbone_factor = 1.0
warmup_steps = 5
ema_decay = 0.9
precision = "f32"
"""


class RecordingReporter(TrainingReporter):
    """Records messages and calls a function after each step.

    Args:
        after: Called with the number of steps done.
    """

    def __init__(self, after=lambda done: None) -> None:
        self._after = after
        self.messages: list[str] = []
        self.is_closed = False

    def message(self, line: str) -> None:
        self.messages.append(line)

    def step(self, done: int, total: int) -> None:
        self._after(done)

    def close(self) -> None:
        self.is_closed = True


def write_set(folder: Path) -> Path:
    """Writes the set `synthetic`: one image with two persons, drawn as coloured skeletons on noise."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(90, 110, (96, 96, 3), dtype=np.uint8)
    persons = []
    for index, x in enumerate((26, 68)):
        points = np.array([x, 48]) + rng.uniform(-1, 1, (17, 2)) * (16, 36)
        for a, b in SCHEMA.edges:
            ends = [tuple(int(v) for v in points[k]) for k in (a, b)]
            cv2.line(pixels, *ends, (250, 60 + 120 * index, 20 * a % 256), 2)
        persons.append(
            PersonAnnotation(points.astype(np.float32), np.full(17, 2, np.uint8), 1100.0, (x - 16, 12, 32, 72))
        )
    (folder / "synthetic" / "images").mkdir(parents=True)
    cv2.imwrite(str(folder / "synthetic" / "images" / "1.png"), pixels)
    image = ImageAnnotation(1, "1.png", (96, 96), tuple(persons), tuple(range(17)))
    record = to_coco_annotations(Annotations(SCHEMA, (image,)))
    (folder / "synthetic" / "annotations.json").write_text(json.dumps(record), encoding="utf-8")
    return folder


def write_recipe(folder: Path, root: Path, *, steps: int, save_every: int = 1000) -> Path:
    """Writes a recipe for the set in `root` and returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "recipe.toml"
    path.write_text(_RECIPE.format(root=root, steps=steps, save_every=save_every), encoding="utf-8")
    return path
