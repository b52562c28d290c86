from dataclasses import FrozenInstanceError

import pytest

from e2pose.core.errors import OptionError, RuntimeChoiceError
from e2pose.runtimes.options import DEFAULT_OPTIONS, RuntimeOptions


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("runtime", "caffe", "no runtime 'caffe'; there is: onnxruntime, openvino, tensorrt, torch"),
        ("precision", "f64", "no precision 'f64'; there is: f32, f16, bf16"),
        ("device", "toaster", "no device 'toaster'; there is: cpu, cuda"),
        ("device", "cuda:", "no device 'cuda:'"),
        ("device", "cpu:0", "no device 'cpu:0'"),
        ("device", "cuda:1;rm", "no device 'cuda:1;rm'"),
    ],
)
def test_unknown_names(unchecked, field: str, value: str, says: str) -> None:
    with pytest.raises(RuntimeChoiceError, match=says):
        RuntimeOptions(**{field: value})


@pytest.mark.parametrize("threads", [0, -1, 1025, 10**10])
def test_threads_out_of_range(threads: int) -> None:
    with pytest.raises(OptionError, match=f"between 1 and 1024, not {threads}"):
        RuntimeOptions(threads=threads)
    assert RuntimeOptions(threads=1024).threads == 1024


@pytest.mark.parametrize(
    ("device", "kind", "index"), [(None, "cpu", 0), ("cpu", "cpu", 0), ("cuda", "cuda", 0), ("cuda:12", "cuda", 12)]
)
def test_parts_of_a_device(device: str | None, kind: str, index: int) -> None:
    options = RuntimeOptions(device=device)
    assert (options.device_kind, options.device_index) == (kind, index)


def test_options_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        DEFAULT_OPTIONS.threads = 3
