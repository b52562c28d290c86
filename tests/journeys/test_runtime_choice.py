from pathlib import Path

import pytest

from helpers.synthetic import write_image


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    return write_image(tmp_path / "white.png")


def test_predict_says_what_really_runs(predict, picture: Path) -> None:
    done = predict(picture, "-o", "poses.json", "--threads", "1")
    assert done.code == 0
    (line,) = (line for line in done.err.splitlines() if line.startswith("model: "))
    assert line.startswith("model: tiny, onnxruntime ")
    assert line.endswith(" on cpu in f32, 1 thread")
    assert predict(picture, "-o", "again.json", "--runtime", "openvino", "--quiet").err == ""


def test_several_pictures_share_the_threads_and_one_has_them_all(predict, picture: Path, tmp_path: Path) -> None:
    write_image(tmp_path / "two.png")
    for inputs, says in (((picture,), "2 threads"), ((picture, "two.png"), "1 thread, 2 images in parallel")):
        done = predict(*inputs, "-o", "poses.json", "--threads", "2")
        assert done.code == 0
        assert f" on cpu in f32, {says}\n" in done.err


@pytest.mark.parametrize("asked", [("--device", "cuda:7"), ("--precision", "bf16")], ids=" ".join)
def test_what_is_not_there_is_an_error_or_if_allowed_a_warning(
    predict, picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: tuple[str, str]
) -> None:
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    refused = predict(picture, "-o", "poses.json", *asked)
    assert (refused.code, len(refused.errors), len(refused.hints)) == (1, 1, 1)
    assert not (tmp_path / "poses.json").exists()
    done = predict(picture, "-o", "poses.json", *asked, "--allow-fallback", "--quiet")
    assert done.code == 0
    (warning,) = done.err.splitlines()
    assert warning.startswith("warning: onnxruntime c")
    assert "; using onnxruntime " in warning
    assert (tmp_path / "poses.json").exists()


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (("--device", "toaster"), "there is no device 'toaster'"),
        (("--threads", "0"), "between 1 and 1024, not 0"),
        (("--runtime", "torch"), "reads .safetensors files"),
    ],
)
def test_bad_choice_is_one_error(predict, picture: Path, asked: tuple[str, str], says: str) -> None:
    done = predict(picture, *asked)
    assert done.code != 0
    assert len(done.errors) == 1
    assert says in done.err
