"""Training images in batches, each process with its own share."""

from __future__ import annotations

import signal
from collections.abc import Generator, Sequence
from dataclasses import dataclass, fields
from itertools import islice

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from e2pose.core.errors import E2PoseError
from e2pose.data.augmentation.gpu_renderer import DeviceRenderer, PlanBatch
from e2pose.data.augmentation.plan import CanvasPlan
from e2pose.data.targets import Target, collate_labels
from e2pose.data.training_images import Plan, Sample, TrainingImages
from e2pose.training.recipe import Recipe

_CPU = torch.device("cpu")

Part = tuple[Tensor, Target]
"""Canvases (B, 3, H, W) uint8 and their labels."""
Planned = tuple[PlanBatch, Target]
"""Canvases that are still to be made, and their labels."""


@dataclass(frozen=True, eq=False)
class Batches:
    """The batches of a training as one of its processes sees them.

    What step `s` learns from is the same however many processes and passes share it: the images `s * batch_size` and
    following.

    Args:
        images: All canvases by number.
        recipe: Sizes, passes and workers.
        process: Number of this process.
        device: Where the network is.
        renderer: Makes the canvases there; None if they are made where they are planned.
    """

    images: TrainingImages
    recipe: Recipe
    process: int = 0
    device: torch.device = _CPU
    renderer: DeviceRenderer | None = None

    def since(self, step: int) -> Generator[list[Part | Planned], None, None]:
        """For each step from the given one to the last, this process's share, as a list with an entry for each pass.

        `onto_device` makes the parts ready for the network.

        Close it: that ends the processes that prepare images.

        Raises:
            E2PoseError: An image cannot be used.
        """
        recipe = self.recipe
        loader: DataLoader[Sample | Plan | E2PoseError] = DataLoader(
            _Answers(self.images, plans=self.renderer is not None),
            batch_size=self._part_size,
            sampler=[number for one in range(step, recipe.optim.steps) for number in self.numbers(one)],
            num_workers=recipe.workers,
            worker_init_fn=_leave_signals_to_the_parent,
            collate_fn=_collate,
            prefetch_factor=4 if recipe.workers else None,
            pin_memory=self.device.type == "cuda" and self.renderer is None,
        )
        answers = iter(loader)
        parts = map(_checked, answers)
        try:
            while share := list(islice(parts, recipe.optim.accumulate)):
                yield share
        finally:
            if recipe.workers:  # they do not hear the signal by which Python would end them at last
                answers._shutdown_workers()  # type: ignore[attr-defined]

    def onto_device(self, part: Part | Planned) -> Part:
        """Canvases and labels in the memory of the device; canvases that are only planned are made there."""
        canvases, target = part
        values = {
            field.name: getattr(target, field.name).to(self.device, non_blocking=True) for field in fields(target)
        }
        if isinstance(canvases, PlanBatch):
            assert self.renderer is not None
            return self.renderer(canvases), Target(**values)
        return canvases.to(self.device, non_blocking=True), Target(**values)

    def numbers(self, step: int) -> list[int]:
        """Which images of a step are this process's, pass after pass."""
        size, processes, passes = self._part_size, self.recipe.processes, self.recipe.optim.accumulate
        first = step * self.recipe.optim.batch_size + self.process * size
        starts = [first + number * processes * size for number in range(passes)]
        return [start + index for start in starts for index in range(size)]

    @property
    def _part_size(self) -> int:
        return self.recipe.optim.batch_size // self.recipe.processes // self.recipe.optim.accumulate


class _Answers(Dataset[Sample | Plan | E2PoseError]):
    """Canvases, or why there is none: an error raised in another process would arrive with its whole traceback."""

    def __init__(self, images: TrainingImages, *, plans: bool) -> None:
        self._answer = images.plan if plans else images.__getitem__

    def __getitem__(self, number: int) -> Sample | Plan | E2PoseError:
        try:
            return self._answer(number)
        except E2PoseError as error:
            return error


def _collate(answers: Sequence[Sample | Plan | E2PoseError]) -> Part | Planned | E2PoseError:
    canvases, labels = [], []
    for answer in answers:
        if isinstance(answer, E2PoseError):
            return answer
        canvases.append(answer[0])
        labels.append(answer[1])
    target = collate_labels(labels)
    plans = [canvas for canvas in canvases if isinstance(canvas, CanvasPlan)]
    if plans:
        return PlanBatch.of(plans), target
    pixels = np.stack([canvas for canvas in canvases if isinstance(canvas, np.ndarray)])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2), target


def _checked(part: Part | Planned | E2PoseError) -> Part | Planned:
    if isinstance(part, E2PoseError):
        raise part
    return part


def _leave_signals_to_the_parent(_: int) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
