"""Real-time multi-person 2D pose estimation in a single pass.

    import e2pose

    estimator = e2pose.load()
    poses = estimator("street.jpg")

Models: `load` returns an `Estimator`; a `ModelSpec` describes a model and a `KeypointSchema` its keypoints.
Results: `Poses`, drawn by `draw_poses`; `blur_image` anonymises persons.
Video: `run` passes each `Frame` of `open_source` through an estimator, a `Tracker` and a `Smoother` to `open_sink`.
Millions of files: `open_batch` reads the results of `e2pose batch`.
Accuracy: `evaluate` computes COCO metrics on annotated images.

Each name is imported on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from e2pose.batch.reader import open_batch
    from e2pose.core.affine import Affine
    from e2pose.core.errors import E2PoseError
    from e2pose.core.frame import Frame
    from e2pose.core.poses import Poses
    from e2pose.core.schema import KeypointSchema, load_schema
    from e2pose.core.spec import ModelSpec
    from e2pose.evaluation.evaluate import evaluate
    from e2pose.inference.estimator import Estimator, load
    from e2pose.inference.run import run
    from e2pose.render.blur import blur_image
    from e2pose.render.overlay import draw_poses
    from e2pose.sinks.open import open_sink
    from e2pose.sources.open import open_source
    from e2pose.tracking.smoothing import Smoother
    from e2pose.tracking.tracker import Tracker

    __version__: str

__all__ = [
    "Affine",
    "E2PoseError",
    "Estimator",
    "Frame",
    "KeypointSchema",
    "ModelSpec",
    "Poses",
    "Smoother",
    "Tracker",
    "__version__",
    "blur_image",
    "draw_poses",
    "evaluate",
    "load",
    "load_schema",
    "open_batch",
    "open_sink",
    "open_source",
    "run",
]

_MODULES = {
    "Affine": "core.affine",
    "E2PoseError": "core.errors",
    "Estimator": "inference.estimator",
    "Frame": "core.frame",
    "KeypointSchema": "core.schema",
    "ModelSpec": "core.spec",
    "Poses": "core.poses",
    "Smoother": "tracking.smoothing",
    "Tracker": "tracking.tracker",
    "blur_image": "render.blur",
    "draw_poses": "render.overlay",
    "evaluate": "evaluation.evaluate",
    "load": "inference.estimator",
    "load_schema": "core.schema",
    "open_batch": "batch.reader",
    "open_sink": "sinks.open",
    "open_source": "sources.open",
    "run": "inference.run",
}
"""The module of each public name."""


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        value: object = version("e2pose")
    elif name in _MODULES:
        value = getattr(import_module(f"e2pose.{_MODULES[name]}"), name)
    else:
        raise AttributeError(f"module 'e2pose' has no attribute '{name}'")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
