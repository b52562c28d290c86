"""Training images in batches, each process with its own share."""

from __future__ import annotations

import signal
from collections.abc import Generator, Sequence
from dataclasses import dataclass, fields
from itertools import islice

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from e2pose.core.errors import E2PoseError
from e2pose.training.config import Recipe
from e2pose.training.dataset import Sample, collate
from e2pose.training.target import Target

Part = tuple[Tensor, Target]
"""Canvases (B, 3, H, W) uint8 and their labels."""


@dataclass(frozen=True, eq=False)
class Batches:
    """The batches of a training as one of its processes sees them.

    What step `s` learns from is the same however many processes and passes share it: the images `s * batch_size` and
    following.

    Args:
        images: All images by number.
        recipe: Sizes, passes and workers.
        process: Number of this process.
        pin: Put canvases where a GPU fetches them fastest.
    """

    images: Dataset[Sample]
    recipe: Recipe
    process: int = 0
    pin: bool = False

    def since(self, step: int) -> Generator[list[Part], None, None]:
        """For each step from the given one to the last, this process's share, as a list with an entry for each pass.

        Close it: that ends the processes that prepare images.

        Raises:
            E2PoseError: An image cannot be used.
        """
        recipe = self.recipe
        loader: DataLoader[Sample | E2PoseError] = DataLoader(
            _Answers(self.images),
            batch_size=self._part_size,
            sampler=[number for one in range(step, recipe.optim.steps) for number in self.numbers(one)],
            num_workers=recipe.workers,
            worker_init_fn=_leave_signals_to_the_parent,
            collate_fn=_collate,
            prefetch_factor=4 if recipe.workers else None,
            pin_memory=self.pin,
        )
        answers = iter(loader)
        parts = map(_checked, answers)
        try:
            while share := list(islice(parts, recipe.optim.accumulate)):
                yield share
        finally:
            if recipe.workers:  # they do not hear the signal by which Python would end them at last
                answers._shutdown_workers()  # type: ignore[attr-defined]

    def numbers(self, step: int) -> list[int]:
        """Which images of a step are this process's, pass after pass."""
        size, processes, passes = self._part_size, self.recipe.processes, self.recipe.optim.accumulate
        first = step * self.recipe.optim.batch_size + self.process * size
        starts = [first + number * processes * size for number in range(passes)]
        return [start + index for start in starts for index in range(size)]

    @property
    def _part_size(self) -> int:
        return self.recipe.optim.batch_size // self.recipe.processes // self.recipe.optim.accumulate


def to_device(part: Part, device: torch.device) -> Part:
    """The same canvases and labels in the memory of a device."""
    pixels, target = part
    values = {field.name: getattr(target, field.name).to(device, non_blocking=True) for field in fields(target)}
    return pixels.to(device, non_blocking=True), Target(**values)


class _Answers(Dataset[Sample | E2PoseError]):
    """Images, or why there is none: an error raised in another process would arrive with its whole traceback."""

    def __init__(self, images: Dataset[Sample]) -> None:
        self._images = images

    def __getitem__(self, number: int) -> Sample | E2PoseError:
        try:
            return self._images[number]
        except E2PoseError as error:
            return error


def _collate(answers: Sequence[Sample | E2PoseError]) -> Part | E2PoseError:
    samples = []
    for answer in answers:
        if isinstance(answer, E2PoseError):
            return answer
        samples.append(answer)
    return collate(samples)


def _checked(part: Part | E2PoseError) -> Part:
    if isinstance(part, E2PoseError):
        raise part
    return part


def _leave_signals_to_the_parent(_: int) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
