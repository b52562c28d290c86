"""Batches of training images, shared out among processes and accumulation passes."""

from __future__ import annotations

import signal
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from e2pose.core.errors import E2PoseError
from e2pose.data.targets import Target, collate_labels
from e2pose.data.training_images import Sample, TrainingImages

MiniBatch = tuple[Tensor, Target]
"""Images (B, 3, H, W) uint8 and their labels: the input of one forward pass."""


@dataclass(frozen=True, eq=False)
class Batches:
    """The part of each batch that one process trains on.

    Step `s` always trains on the images from `s * batch_size` on, for any number of processes and passes.
    """

    images: TrainingImages
    steps: int  # of the whole training
    batch_size: int  # images of one step in all processes together; a multiple of `processes * accumulate`
    accumulate: int = 1  # forward passes that share the images of a step
    processes: int = 1
    process: int = 0  # index of this process
    workers: int = 0  # processes that prepare images for this one; 0 prepares them in this process
    pin_memory: bool = False  # page-locked memory, from which copies to a GPU are faster
    errors: dict[str, E2PoseError] = field(default_factory=dict)
    """Errors of images that could not be read any more, by message; filled by `from_step`."""

    def from_step(self, step: int) -> Generator[list[MiniBatch], None, None]:
        """Yields this process's mini-batches of each step, one per pass, from the given step to the last.

        Close the generator to end the worker processes.

        Raises:
            InputError: Many images in succession cannot be read.
        """
        loader: DataLoader[_Item] = DataLoader(
            _ErrorsAsValues(self.images),
            batch_size=self._mini_batch_size,
            sampler=[index for s in range(step, self.steps) for index in self.image_numbers(s)],
            num_workers=self.workers,
            worker_init_fn=_ignore_signals,
            collate_fn=_collate,
            prefetch_factor=4 if self.workers else None,
            pin_memory=self.pin_memory,
        )
        iterator = iter(loader)
        mini_batches = map(self._take_errors, iterator)
        try:
            while parts := list(islice(mini_batches, self.accumulate)):
                yield parts
        finally:
            if self.workers:  # workers ignore SIGTERM, by which Python would end them when it exits
                iterator._shutdown_workers()  # type: ignore[attr-defined]

    def image_numbers(self, step: int) -> list[int]:
        """Returns the numbers of this process's images of a step, pass after pass."""
        size = self._mini_batch_size
        first = step * self.batch_size + self.process * size
        starts = [first + index * self.processes * size for index in range(self.accumulate)]
        return [start + offset for start in starts for offset in range(size)]

    def _take_errors(self, batch: tuple[MiniBatch | None, list[E2PoseError]]) -> MiniBatch:
        """Records the errors of a mini-batch and returns its images, or raises the last error if it has none."""
        images, errors = batch
        if images is None:
            raise errors[-1]
        self.errors.update({error.message: error for error in errors})
        return images

    @property
    def _mini_batch_size(self) -> int:
        return self.batch_size // self.processes // self.accumulate


_Item = tuple[Sample | None, list[E2PoseError]]  # no sample if the last error has to be raised


class _ErrorsAsValues(Dataset[_Item]):
    """Returns errors instead of raising them: torch adds the whole traceback to a message raised in a worker."""

    def __init__(self, images: TrainingImages) -> None:
        self._images = images

    def __getitem__(self, number: int) -> _Item:
        try:
            return self._images.read(number)
        except E2PoseError as error:
            return None, [error]


def _collate(items: Sequence[_Item]) -> tuple[MiniBatch | None, list[E2PoseError]]:
    samples = [sample for sample, _ in items if sample is not None]
    if len(samples) < len(items):
        return None, next(errors for sample, errors in items if sample is None)
    images = torch.from_numpy(np.stack([pixels for pixels, _ in samples])).permute(0, 3, 1, 2)
    target = collate_labels([labels for _, labels in samples])
    return (images, target), [error for _, errors in items for error in errors]


def _ignore_signals(_: int) -> None:
    """Leaves SIGINT and SIGTERM to the parent process, which closes the workers after its last step."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
