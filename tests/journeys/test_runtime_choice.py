from pathlib import Path

import pytest

from helpers.synthetic import write_image


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return write_image(tmp_path / "white.png")


def test_predict_reports_model_runtime_and_device(predict, image: Path) -> None:
    done = predict(image, "-o", "poses.json", "--threads", "1")
    assert done.code == 0
    (line,) = (line for line in done.err.splitlines() if line.startswith("model: "))
    assert line.startswith("model: tiny, onnxruntime ")
    assert line.endswith(" on cpu in f32, 1 thread")
    assert predict(image, "-o", "again.json", "--runtime", "openvino", "--quiet").err == ""


def test_parallel_images_share_the_threads(predict, image: Path, tmp_path: Path) -> None:
    write_image(tmp_path / "two.png")
    for inputs, message in (((image,), "2 threads"), ((image, "two.png"), "1 thread, 2 images in parallel")):
        done = predict(*inputs, "-o", "poses.json", "--threads", "2")
        assert done.code == 0
        assert f" on cpu in f32, {message}\n" in done.err


@pytest.mark.parametrize("arguments", [("--device", "cuda:7"), ("--precision", "bf16")], ids=" ".join)
def test_unavailable_choice_is_an_error_or_falls_back_with_a_warning(
    predict, image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, str]
) -> None:
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    rejected = predict(image, "-o", "poses.json", *arguments)
    assert (rejected.code, len(rejected.errors), len(rejected.hints)) == (1, 1, 1)
    assert not (tmp_path / "poses.json").exists()
    done = predict(image, "-o", "poses.json", *arguments, "--allow-fallback", "--quiet")
    assert done.code == 0
    (warning,) = done.err.splitlines()
    assert warning.startswith("warning: onnxruntime ")
    assert "; using onnxruntime " in warning
    assert (tmp_path / "poses.json").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--device", "toaster"), 2, "unknown device 'toaster'"),
        (("--precision", "f64"), 2, "f64"),
        (("--threads", "0"), 2, "between 1 and 1024, not 0"),
        (("--input-size", "0", "0"), 2, "between 1 and 16384, not 0"),
        (("--runtime", "torch"), 1, "reads .safetensors files"),
    ],
)
def test_invalid_choice_is_a_single_error(
    predict, image: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    done = predict(image, *arguments)
    assert done.code == code
    assert len(done.errors) == 1
    assert message in done.err
