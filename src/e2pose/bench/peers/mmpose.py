# /// script
# requires-python = ">=3.11,<3.13"
# dependencies = [
#   "addict==2.4.0",
#   "json-tricks==3.17.3",
#   "matplotlib==3.10.7",
#   "munkres==1.1.4",
#   "numpy==1.26.4",
#   "opencv-python-headless==4.11.0.86",
#   "packaging==25.0",
#   "pillow==12.0.0",
#   "pycocotools==2.0.10",
#   "pyyaml==6.0.3",
#   "rich==14.2.0",
#   "scipy==1.15.3",
#   "setuptools==80.9.0",
#   "shapely==2.1.2",
#   "six==1.17.0",
#   "termcolor==3.2.0",
#   "terminaltables==3.1.10",
#   "torch==2.13.0",
#   "torchvision==0.28.0",
#   "tqdm==4.67.1",
#   "xtcocotools==1.14.3",
#   "yapf==0.43.0",
# ]
#
# [tool.e2pose-bench]
# name = "MMPose ShuffleNetV2"
# licence = "Apache-2.0"
# homepage = "https://github.com/open-mmlab/mmpose"
# steps = [
#   ["pip", "install", "--no-deps", "mmpose==1.3.2", "mmdet==3.2.0", "mmcv-lite==2.1.0", "mmengine==0.10.7"],
# ]
# ///
"""MMPose as the authors of E2Pose compare with it: YOLOv3 finds people, ShuffleNetV2 finds the keypoints of each.

YOLOv3 is the one with Darknet-53 for 320 pixels, ShuffleNetV2 the one for 256x192 on COCO; configurations, scaling and
flipping are those in the packages of MMDetection and MMPose. The packages hold no weights, so they are random.

What a random detector finds means nothing: here it finds nobody, and the second network gets a fixed number of boxes
(`people`) spread over the frame. Suppression of overlapping boxes is not measured therefore. It is one of the operators
of MMCV that must be compiled; the package without them, mmcv-lite, gets a stand-in that knows their names only.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import numpy as np
from serve import HALF_PIXEL, Peer, Pose, Stopwatch, serve
from torch_on_cpu import prepare

DETECTOR = "yolo/yolov3_d53_8xb8-320-273e_coco.py"
POSE = "body_2d_keypoint/topdown_heatmap/coco/td-hm_shufflenetv2_8xb64-210e_coco-256x192.py"
OPERATORS = "mmcv._ext"
NOBODY = -10.0
"""Objectness, before the sigmoid, that is below every threshold."""


class StandIn(ModuleType):
    """Has every operator by name, and can compute none."""

    def __getattr__(self, name: str) -> Callable[..., NoReturn]:
        """Some operator."""
        if name.startswith("__"):
            raise AttributeError(name)

        def operator(*_: object, **__: object) -> NoReturn:
            raise NotImplementedError(f"mmcv-lite cannot compute {name}")

        return operator


def load(options: Namespace) -> Peer:
    """Builds both networks and their pipelines with random weights."""
    import torch

    prepare(options.threads)
    sys.modules[OPERATORS] = StandIn(OPERATORS)
    sys.modules[OPERATORS].__spec__ = ModuleSpec(OPERATORS, loader=None)  # MMEngine asks whether it was compiled
    detect, find_keypoints = open_detector(), open_pose()

    def estimate(image: np.ndarray, watch: Stopwatch) -> list[Pose]:
        bgr = np.ascontiguousarray(image[..., ::-1])
        with torch.inference_mode():
            detect(bgr, watch)
            return find_keypoints(bgr, spread(options.people, image.shape[:2]), watch)

    return Peer(
        estimate,
        name="MMPose ShuffleNetV2 + YOLOv3",
        version=version("mmpose"),
        licence="Apache-2.0",
        runtime=f"torch {torch.__version__}",
        random_weights=True,
        note=f"detector on the frame, whose boxes are not used; keypoints in {options.people} fixed boxes, flipped too",
    )


def open_detector() -> Callable[[np.ndarray, Stopwatch], None]:
    """The detector; what it finds is thrown away."""
    from mmdet.apis import init_detector
    from mmdet.utils import get_test_pipeline_cfg
    from mmengine.dataset import Compose

    model = init_detector(str(configuration("mmdet", DETECTOR)), palette="none", device="cpu")
    for layer in model.bbox_head.convs_pred:
        silence(layer, model.bbox_head.num_base_priors)
    steps = get_test_pipeline_cfg(model.cfg)
    steps[0].type = "mmdet.LoadImageFromNDArray"
    pipeline = Compose(steps)

    def detect(bgr: np.ndarray, watch: Stopwatch) -> None:
        with watch("preprocess"):
            inputs, samples = collated(model, [pipeline({"img": bgr, "img_id": 0})])
        with watch("network"):
            (maps,) = model.bbox_head(model.extract_feat(inputs))
        with watch("postprocess"):
            model.bbox_head.predict_by_feat(maps, [one.metainfo for one in samples], rescale=True)

    return detect


def open_pose() -> Callable[[np.ndarray, np.ndarray, Stopwatch], list[Pose]]:
    """The network that finds the keypoints in boxes."""
    from mmengine.dataset import Compose
    from mmengine.registry import init_default_scope
    from mmpose.apis import init_model
    from mmpose.models.utils.tta import flip_heatmaps

    model = init_model(str(configuration("mmpose", POSE)), device="cpu")
    init_default_scope("mmpose")
    pipeline = Compose(model.cfg.test_dataloader.dataset.pipeline)
    flipping = {"flip_mode": "heatmap", "flip_indices": model.dataset_meta["flip_indices"], "shift_heatmap": True}

    def find_keypoints(bgr: np.ndarray, boxes: np.ndarray, watch: Stopwatch) -> list[Pose]:
        with watch("preprocess"):
            people = [{"img": bgr, "bbox": box[None], "bbox_score": np.ones(1, np.float32)} for box in boxes]
            inputs, samples = collated(model, [pipeline(model.dataset_meta | one) for one in people])
        with watch("network"):
            maps = model.head(model.extract_feat(inputs))
            turned = flip_heatmaps(model.head(model.extract_feat(inputs.flip(-1))), **flipping)
        with watch("postprocess"):
            found = model.add_pred_to_datasample(model.head.decode((maps + turned) / 2), None, samples)
            return [to_pose(one.pred_instances) for one in found]

    return find_keypoints


def silence(layer, priors: int) -> None:  # noqa: ANN001 - a type of a library that is not installed with e2pose
    """Makes the objectness, the fifth of each prior's numbers, near zero everywhere."""
    layer.weight.data.unflatten(0, (priors, -1))[:, 4] = 0
    layer.bias.data.unflatten(0, (priors, -1))[:, 4] = NOBODY


def collated(model: Any, data: list[dict[str, Any]]) -> tuple[Any, Any]:  # noqa: ANN401 - types of libraries not here
    """Several inputs as one normalised batch."""
    ready = model.data_preprocessor({key: [one[key] for one in data] for key in ("inputs", "data_samples")}, False)
    return ready["inputs"], ready["data_samples"]


def configuration(package: str, name: str) -> Path:
    """A configuration that lies in a package."""
    return Path(sys.modules[package].__file__ or "").parent / ".mim" / "configs" / name


def spread(people: int, size_hw: tuple[int, int]) -> np.ndarray:
    """Boxes (x1, y1, x2, y2) side by side, three quarters of the frame high."""
    height, width = size_hw
    lefts = np.arange(people) * width / people
    box = np.array([0, height / 8, width / people, height * 7 / 8])
    return (box + lefts[:, None] * [1, 0, 1, 0]).astype(np.float32)


def to_pose(found: Any) -> Pose:  # noqa: ANN401
    """The person in one box."""
    scores = np.asarray(found.keypoint_scores[0], float)
    return Pose(scores.mean(), np.column_stack([np.asarray(found.keypoints[0], float) + HALF_PIXEL, scores]))


if __name__ == "__main__":
    serve(load, people=(3, 1, 2, 5, 10, 20))
