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
"""MMPose as in the comparison by the authors of E2Pose: YOLOv3 detects persons, ShuffleNetV2 their keypoints.

YOLOv3 is the Darknet-53 model for 320 pixels, ShuffleNetV2 the COCO model for 256x192. Configurations, scaling and
flipping are those in the packages of MMDetection and MMPose, which contain no weights, so they are random.

Because detections with random weights are meaningless, the confidences of the detector are nearly zero, and the second
network processes a fixed number of boxes spread over the frame. Therefore non-maximum suppression is not measured. It
is one of the compiled operators of MMCV; the package without them, mmcv-lite, gets a stub module with their names.
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
LOW_LOGIT = -10.0
"""Logit of an objectness below every threshold."""


class StubModule(ModuleType):
    """Provides every operator by name; calling one raises an error."""

    def __getattr__(self, name: str) -> Callable[..., NoReturn]:
        """Returns an operator."""
        if name.startswith("__"):
            raise AttributeError(name)

        def operator(*_: object, **__: object) -> NoReturn:
            raise NotImplementedError(f"mmcv-lite cannot compute {name}")

        return operator


def load(options: Namespace) -> Peer:
    """Creates both networks and their pipelines with random weights."""
    import torch

    prepare(options.threads)
    sys.modules[OPERATORS] = StubModule(OPERATORS)
    sys.modules[OPERATORS].__spec__ = ModuleSpec(OPERATORS, loader=None)  # MMEngine checks whether it is compiled
    detect, estimate_keypoints = load_detector(), load_pose_network()

    def estimate(image: np.ndarray, watch: Stopwatch) -> list[Pose]:
        bgr = np.ascontiguousarray(image[..., ::-1])
        with torch.inference_mode():
            detect(bgr, watch)
            return estimate_keypoints(bgr, tile_boxes(options.boxes, image.shape[:2]), watch)

    return Peer(
        estimate,
        name="MMPose ShuffleNetV2 + YOLOv3",
        version=version("mmpose"),
        licence="Apache-2.0",
        runtime=f"torch {torch.__version__}",
        random_weights=True,
        note=f"detections are replaced by {options.boxes} fixed boxes; keypoints with flip augmentation",
    )


def load_detector() -> Callable[[np.ndarray, Stopwatch], None]:
    """Returns the detector, whose detections are discarded."""
    from mmdet.apis import init_detector
    from mmdet.utils import get_test_pipeline_cfg
    from mmengine.dataset import Compose

    model = init_detector(str(configuration_path("mmdet", DETECTOR)), palette="none", device="cpu")
    for layer in model.bbox_head.convs_pred:
        for parameter, value in ((layer.weight, 0), (layer.bias, LOW_LOGIT)):  # objectness is the fifth of each prior
            parameter.data.unflatten(0, (model.bbox_head.num_base_priors, -1))[:, 4] = value
    steps = get_test_pipeline_cfg(model.cfg)
    steps[0].type = "mmdet.LoadImageFromNDArray"
    pipeline = Compose(steps)

    def detect(bgr: np.ndarray, watch: Stopwatch) -> None:
        with watch("preprocess"):
            inputs, samples = collate(model, [pipeline({"img": bgr, "img_id": 0})])
        with watch("network"):
            (maps,) = model.bbox_head(model.extract_feat(inputs))
        with watch("postprocess"):
            model.bbox_head.predict_by_feat(maps, [sample.metainfo for sample in samples], rescale=True)

    return detect


def load_pose_network() -> Callable[[np.ndarray, np.ndarray, Stopwatch], list[Pose]]:
    """Returns the network that detects the keypoints in boxes."""
    from mmengine.dataset import Compose
    from mmengine.registry import init_default_scope
    from mmpose.apis import init_model
    from mmpose.models.utils.tta import flip_heatmaps

    model = init_model(str(configuration_path("mmpose", POSE)), device="cpu")
    init_default_scope("mmpose")
    pipeline = Compose(model.cfg.test_dataloader.dataset.pipeline)
    flipping = {"flip_mode": "heatmap", "flip_indices": model.dataset_meta["flip_indices"], "shift_heatmap": True}

    def estimate_keypoints(bgr: np.ndarray, boxes: np.ndarray, watch: Stopwatch) -> list[Pose]:
        with watch("preprocess"):
            persons = [{"img": bgr, "bbox": box[None], "bbox_score": np.ones(1, np.float32)} for box in boxes]
            inputs, samples = collate(model, [pipeline(model.dataset_meta | person) for person in persons])
        with watch("network"):
            maps = model.head(model.extract_feat(inputs))
            flipped = flip_heatmaps(model.head(model.extract_feat(inputs.flip(-1))), **flipping)
        with watch("postprocess"):
            results = model.add_pred_to_datasample(model.head.decode((maps + flipped) / 2), None, samples)
            return [to_pose(result.pred_instances) for result in results]

    return estimate_keypoints


def collate(model: Any, data: list[dict[str, Any]]) -> tuple[Any, Any]:  # noqa: ANN401 - types of libraries that are not installed
    """Combines several inputs to a normalised batch."""
    batch = {key: [entry[key] for entry in data] for key in ("inputs", "data_samples")}
    batch = model.data_preprocessor(batch, False)
    return batch["inputs"], batch["data_samples"]


def configuration_path(package: str, name: str) -> Path:
    """Returns the path of a configuration in a package."""
    return Path(sys.modules[package].__file__ or "").parent / ".mim" / "configs" / name


def tile_boxes(count: int, size_hw: tuple[int, int]) -> np.ndarray:
    """Returns boxes (x1, y1, x2, y2) side by side, with three quarters of the frame height."""
    height, width = size_hw
    lefts = np.arange(count) * width / count
    box = np.array([0, height / 8, width / count, height * 7 / 8])
    return (box + lefts[:, None] * [1, 0, 1, 0]).astype(np.float32)


def to_pose(instances: Any) -> Pose:  # noqa: ANN401
    """Converts the person in one box."""
    scores = np.asarray(instances.keypoint_scores[0], float)
    return Pose(scores.mean(), np.column_stack([np.asarray(instances.keypoints[0], float) + HALF_PIXEL, scores]))


if __name__ == "__main__":
    serve(load, boxes=(3, 1, 2, 5, 10, 20))
