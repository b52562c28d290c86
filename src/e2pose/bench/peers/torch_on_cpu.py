"""What peers have in common that run random networks with torch on a CPU.

Where torch is for CPUs only, torchvision's compiled operators cannot be loaded, and its import fails because they are
not known. Their signatures are enough for the import; nothing calls them here.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

SIGNATURES = tuple(
    f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
    for name in ("nms", "qnms")  # those whose shapes torchvision describes while it is imported
)


def prepare(threads: int) -> None:
    """Makes torch and OpenCV ready, to be called before torchvision is imported.

    Args:
        threads: How many they may use.
    """
    import cv2
    import torch

    torch.manual_seed(0)
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)  # what random networks compute may become so small that processors are slow
    cv2.setNumThreads(threads)
    make_importable()


def make_importable() -> None:
    """Declares torchvision's operators if their library does not load."""
    import torch

    found = importlib.util.find_spec("torchvision")
    if found is None or found.origin is None:
        return
    try:
        torch.ops.load_library(Path(found.origin).with_name("_C.so"))
    except OSError:
        operators = torch.library.Library("torchvision", "DEF")
        for signature in SIGNATURES:
            operators.define(signature)
        make_importable.operators = operators  # they vanish with it
