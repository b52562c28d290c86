"""Files that are no models are reported by what they are."""

import pytest

from e2pose.core.errors import ModelError
from e2pose.export.source import open_export_source
from e2pose.inference.estimator import load
from e2pose.models.weights import load_weights
from e2pose.runtimes.select import open_runtime

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 9\n"
CASES = {
    "folder": (None, "is a folder, not a model file"),
    "empty": (b"", "is empty: it has 0 bytes"),
    "LFS pointer": (LFS, "is a pointer of Git LFS"),
    "missing": (..., "does not exist"),
    "text": (b"hello" * 9, "model"),
}
OPENERS = {
    ".onnx": [load, open_runtime, lambda path: open_export_source(path).__enter__()],
    ".xml": [load, open_runtime],
    ".safetensors": [load, open_runtime, load_weights, lambda path: open_export_source(path).__enter__()],
    ".engine": [load],
}


@pytest.mark.parametrize("suffix", OPENERS)
@pytest.mark.parametrize("case", CASES)
def test_file_that_is_no_model_is_named(tmp_path, case, suffix):
    content, message = CASES[case]
    path = tmp_path / f"model{suffix}"
    if content is None:
        path.mkdir()
    elif content is not ...:
        path.write_bytes(content)
    for opener in OPENERS[suffix]:
        if case == "text" and suffix in (".engine", ".safetensors"):
            continue
        with pytest.raises(ModelError, match=message) as caught:
            opener(path)
        assert caught.value.hint
        assert "\n" not in caught.value.message


def test_openvino_model_without_its_weights_names_them(tmp_path):
    (tmp_path / "pose.xml").write_text("<net/>")
    with pytest.raises(ModelError, match=r"weights 'pose\.bin' are not beside it") as caught:
        load(tmp_path / "pose.xml")
    assert "'pose.bin' into the same folder" in caught.value.hint
