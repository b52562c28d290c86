from dataclasses import FrozenInstanceError

import pytest

from e2pose.core.errors import OptionError
from e2pose.runtimes.options import DEFAULT_OPTIONS, RuntimeOptions


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("runtime", "caffe", "unknown runtime 'caffe'; available: onnxruntime, openvino, tensorrt, torch"),
        ("precision", "f64", "unknown precision 'f64'; available: f32, f16, bf16"),
        ("device", "toaster", "unknown device 'toaster'; available: cpu, cuda"),
        ("device", "cuda:", "unknown device 'cuda:'"),
        ("device", "cpu:0", "unknown device 'cpu:0'"),
        ("device", "cuda:1;rm", "unknown device 'cuda:1;rm'"),
    ],
)
def test_unknown_names_list_accepted_ones(unchecked, field: str, value: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        RuntimeOptions(**{field: value})


@pytest.mark.parametrize("threads", [0, -1, 1025, 10**10])
def test_threads_out_of_range_are_rejected(threads: int) -> None:
    with pytest.raises(OptionError, match=f"between 1 and 1024, not {threads}"):
        RuntimeOptions(threads=threads)
    assert RuntimeOptions(threads=1024).threads == 1024


@pytest.mark.parametrize(
    ("device", "kind", "index"), [(None, "cpu", 0), ("cpu", "cpu", 0), ("cuda", "cuda", 0), ("cuda:12", "cuda", 12)]
)
def test_device_is_split_into_kind_and_index(device: str | None, kind: str, index: int) -> None:
    options = RuntimeOptions(device=device)
    assert (options.device_kind, options.device_index) == (kind, index)


def test_options_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        DEFAULT_OPTIONS.threads = 3
