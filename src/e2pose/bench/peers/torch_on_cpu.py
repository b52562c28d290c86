"""Setup of torch for peers with random networks on a CPU."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

_LIBRARIES: list[Any] = []  # operators are declared as long as their library object exists


def prepare(threads: int) -> None:
    """Configures torch and OpenCV; must be called before torchvision is imported.

    With a CPU build of torch, the compiled operators of torchvision may not load, and its import fails. Declaring their
    signatures is sufficient for the import; the peers call none of them.
    """
    import cv2
    import torch

    torch.manual_seed(0)
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)  # random networks can produce denormal numbers, which are slow
    cv2.setNumThreads(threads)
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return
    try:
        torch.ops.load_library(Path(spec.origin).with_name("_C.so"))
    except OSError:
        operators = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):  # torchvision registers shape functions for these during its import
            operators.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _LIBRARIES.append(operators)
