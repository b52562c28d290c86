"""What the service holds while it runs: models, queue, metrics and its state."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

import numpy as np

from e2pose.core.poses import Poses
from e2pose.serve.compute import ComputeQueue, Done, Image, Job, ServedModel
from e2pose.serve.decoding import count_pixels
from e2pose.serve.metrics import Metrics
from e2pose.serve.options import ServeOptions
from e2pose.serve.problems import RequestError

_GPU_BATCH = 8
_GPU_THREADS = 2  # one decodes the next batch while the other one computes


class State(Enum):
    """What the service is doing."""

    LOADING = "loading the models"
    READY = "ready"
    DRAINING = "shutting down"


class Service:
    """Loaded models behind a queue.

    Args:
        options: Limits.
        on_gpu: Whether waiting images are computed in batches.
    """

    def __init__(self, options: ServeOptions, *, on_gpu: bool = False) -> None:
        self.options = options
        self.metrics = Metrics()
        self.state = State.LOADING
        self.draining = asyncio.Event()
        self._on_gpu = on_gpu
        self._models: dict[str, ServedModel] = {}
        self._queue: ComputeQueue | None = None

    @property
    def models(self) -> Mapping[str, ServedModel]:
        """The models by name."""
        return self._models

    @property
    def queue(self) -> ComputeQueue:
        """The queue in front of the models.

        Raises:
            RequestError: The service is not ready.
        """
        if self._queue is None or self.state is not State.READY:
            raise RequestError(503, f"the server is {self.state.value}", "try again later", {"Retry-After": "1"})
        return self._queue

    @property
    def num_waiting(self) -> int:
        """Number of images that wait."""
        return 0 if self._queue is None else self._queue.num_waiting

    async def start(self, load: Callable[[], Mapping[str, ServedModel]]) -> None:
        """Loads the models in a thread and lets each process an image.

        Raises:
            E2PoseError: A model cannot be loaded.
        """
        self._models = dict(await asyncio.to_thread(_load_warm, load))
        num_parallel = max(model.estimator.num_parallel for model in self._models.values())
        self._queue = ComputeQueue(
            num_parallel=_GPU_THREADS if self._on_gpu else self.options.parallel or num_parallel,
            max_waiting=self.options.queue,
            max_pixels=self.options.max_pixels,
            max_batch=_GPU_BATCH if self._on_gpu else 1,
        )
        if self.state is State.LOADING:
            self.state = State.READY

    def drain(self) -> None:
        """Refuses new work; running and waiting requests are answered."""
        self.state = State.DRAINING
        self.draining.set()

    def close(self) -> None:
        """Ends the threads."""
        if self._queue is not None:
            self._queue.close()

    def model(self, model: str | None, threshold: float | None) -> tuple[str, ServedModel]:
        """Returns a model and its name; the first model if none is named, with its own threshold if none is given.

        Raises:
            RequestError: The model is unknown, or the service is not ready.
        """
        _ = self.queue
        name = next(iter(self._models)) if model is None else model
        if name not in self._models:
            raise RequestError(
                404,
                f"unknown model '{name}'; available: {', '.join(self._models)}",
                "use one of these, or start the server with: e2pose serve --model NAME",
            )
        chosen = self._models[name]
        return name, chosen if threshold is None else chosen.with_threshold(threshold)

    async def compute(
        self, data: bytes, model: ServedModel, finish: Callable[[Image, Poses], Any], *, bounded: bool = True
    ) -> Done:
        """Counts the pixels of an encoded image by its header, and waits for its result.

        Args:
            data: The encoded image.
            model: Model and threshold.
            finish: Converts image and poses to the result, in the thread of the computation.
            bounded: Refuse the image if too many are waiting.

        Raises:
            RequestError: The image has too many pixels, or too many are waiting.
            InputError: The data are not an image, or cannot be decoded.
        """
        pixels = await asyncio.to_thread(count_pixels, data, self.options.max_pixels)
        assert self._queue is not None  # `model` comes from the method of this name; running requests outlast READY
        return await self._queue.submit(Job(data, pixels, model, finish), bounded=bounded)

    def describe_models(self) -> list[dict[str, Any]]:
        """Returns the models as plain values."""
        return [
            {
                "name": name,
                "input_size_hw": list(estimator.spec.input_size_hw),
                "keypoints": list(estimator.spec.schema.keypoints),
                "edges": [list(edge) for edge in estimator.spec.schema.edges],
                "threshold": estimator.threshold,
                "keypoint_threshold": estimator.spec.keypoint_threshold,
                "description": estimator.description,
            }
            for name, estimator in ((name, model.estimator) for name, model in self._models.items())
        ]


def _load_warm(load: Callable[[], Mapping[str, ServedModel]]) -> Mapping[str, ServedModel]:
    models = load()
    for model in models.values():
        for estimator in dict.fromkeys((model.estimator, model.alone)):
            estimator(np.zeros((*estimator.spec.input_size_hw, 3), np.uint8))
    return models
