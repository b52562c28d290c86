from dataclasses import replace

import pytest

from e2pose.core.errors import ModelError
from e2pose.core.schema import load_schema
from e2pose.core.spec import ModelSpec
from e2pose.runtimes.base import OUTPUTS, check_graph

FIXED = ModelSpec("test", (64, 96), "letterbox", load_schema("coco"))
CROPPED = replace(FIXED, multiple_of=32)


@pytest.mark.parametrize(
    ("spec", "shape", "batch"),
    [
        (FIXED, ("batch", 3, 64, 96), None),
        (FIXED, (4, 3, 64, 96), 4),
        (FIXED, (None, 3, None, "width"), None),
        (CROPPED, ("batch", 3, "height", "width"), None),
    ],
)
def test_matching_graph_returns_its_batch_size(spec: ModelSpec, shape: tuple, batch: int | None) -> None:
    assert check_graph("m.onnx", spec, {"pixels": shape}, {*OUTPUTS, "more"}) == batch


@pytest.mark.parametrize(
    ("spec", "inputs", "outputs"),
    [
        (FIXED, {"image": (1, 3, 64, 96)}, OUTPUTS),
        (FIXED, {"pixels": (1, 3, 64, 96), "more": (1,)}, OUTPUTS),
        (FIXED, {"pixels": (1, 3, 96, 64)}, OUTPUTS),
        (FIXED, {"pixels": (1, 64, 96, 3)}, OUTPUTS),
        (FIXED, {"pixels": (1, 3, 64)}, OUTPUTS),
        (FIXED, {"pixels": (1, 3, 64, 96)}, OUTPUTS[:2]),
        (CROPPED, {"pixels": (1, 3, 64, 96)}, OUTPUTS),
    ],
    ids=["name", "two inputs", "size", "channels last", "axes", "outputs", "fixed size of a cropped model"],
)
def test_graph_that_contradicts_its_spec_is_rejected(spec: ModelSpec, inputs: dict, outputs: tuple) -> None:
    with pytest.raises(ModelError, match=r"'m\.onnx' must have the input 'pixels' of shape \(B, 3, "):
        check_graph("m.onnx", spec, inputs, set(outputs))
