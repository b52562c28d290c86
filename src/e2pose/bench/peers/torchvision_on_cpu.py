"""Lets torchvision be imported where its compiled operators cannot be loaded, as with torch for CPUs only.

Such an import fails because an operator is not known. Its signature is enough for the import; nothing calls it here.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

SIGNATURES = tuple(
    f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
    for name in ("nms", "qnms")  # those whose shapes torchvision describes while it is imported
)


def make_importable() -> None:
    """Declares torchvision's operators if their library does not load; to be called before torchvision is imported."""
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
