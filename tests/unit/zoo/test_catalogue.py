import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from e2pose.core.errors import ModelError
from e2pose.export.verify import Limits, verify_artifact
from e2pose.inference.estimator import Estimator
from e2pose.runtimes.options import RuntimeOptions
from e2pose.runtimes.select import open_runtime
from e2pose.sources.images import read_image
from e2pose.zoo import catalogue
from e2pose.zoo.authors import read_authors_models
from e2pose.zoo.catalogue import ModelEntry, ModelFile, local_models, read_catalogue, resolve_model

MODELS, DEFAULT = read_catalogue()
BUNDLED = [entry for entry in MODELS.values() if entry.is_bundled and not entry.like]
FILES = {file.name: file for entry in MODELS.values() if entry.is_bundled for file in entry.files}
MAX_BUNDLED_BYTES = 16_000_000


def entry(name: str, urls=(), suffixes=(".onnx", ".safetensors")) -> ModelEntry:
    numbers = {"input_size_hw": (64, 64), "parameters_m": 1.0, "gmacs": 1.0, "coco_val_ap": 1.0}
    sha256 = hashlib.sha256(b"model").hexdigest()
    files = tuple(ModelFile(f"{name}{suffix}", 5, sha256, tuple(urls)) for suffix in suffixes)
    return ModelEntry(name=name, **numbers, licence="Apache-2.0", trained_on=(), files=files)


@pytest.fixture
def catalogue_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A catalogue of a bundled model and one that needs a download."""
    models = {"small-64": entry("small-64"), "large-64": entry("large-64", urls=("https://unused.invalid/m",))}
    monkeypatch.setattr(catalogue, "read_catalogue", lambda: (models, "small-64"))
    monkeypatch.setattr(catalogue, "_WEIGHTS", tmp_path)
    monkeypatch.setenv("E2POSE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("E2POSE_OFFLINE", "1")
    (tmp_path / "small-64.onnx").write_bytes(b"model")
    return tmp_path


def test_default_model_is_bundled() -> None:
    assert MODELS[DEFAULT] in BUNDLED


@pytest.mark.parametrize("model", MODELS.values(), ids=lambda model: model.name)
def test_entries_are_complete(model: ModelEntry) -> None:
    assert [Path(file.name).suffix for file in model.files] == [".onnx", ".safetensors"]
    for file in model.files:
        assert len(file.sha256) == 64
        assert file.size_bytes > 0
        assert all(url.startswith("https://") and url.endswith(file.name) for url in file.urls)
    assert model.trained_on
    assert 0 < model.coco_val_ap < 100
    assert min(model.parameters_m, model.gmacs) > 0


@pytest.mark.parametrize("file", FILES.values(), ids=lambda file: file.name)
def test_bundled_file_has_the_size_and_hash_of_the_catalogue(file: ModelFile) -> None:
    path = catalogue._WEIGHTS / file.name
    assert path.stat().st_size == file.size_bytes <= MAX_BUNDLED_BYTES
    assert hashlib.sha256(path.read_bytes()).hexdigest() == file.sha256


@pytest.mark.parametrize("model", BUNDLED, ids=lambda model: model.name)
@pytest.mark.parametrize("suffix", [".onnx", ".safetensors"])
def test_spec_of_bundled_file_matches_the_catalogue(model: ModelEntry, suffix: str) -> None:
    spec = open_runtime(resolve_model(model.name, (suffix,)).path).spec
    described = (model.name, model.input_size_hw, model.licence, model.trained_on)
    assert (spec.name, spec.input_size_hw, spec.licence, spec.trained_on) == described


@pytest.mark.parametrize("model", BUNDLED, ids=lambda model: model.name)
def test_bundled_formats_are_the_same_model(model: ModelEntry) -> None:  # each format is rounded to 16 bits differently
    reference = open_runtime(resolve_model(model.name, (".safetensors",)).path)
    samples = sorted((Path(__file__).parents[3] / "samples").glob("*.jpg"))
    images = [read_image(path) for path in samples]
    assert verify_artifact(resolve_model(model.name).path, reference, images, limits=Limits(0.99)).num_candidates > 100


def test_fast_model_finds_the_persons_of_the_default_model() -> None:
    default, fast = (Estimator.open(name, RuntimeOptions(input_size=(320, 320))) for name in (DEFAULT, "fast"))
    for path in sorted((Path(__file__).parents[3] / "samples").glob("*.jpg")):
        found, expected = fast(path), default(path)
        assert len(found) == len(expected) > 0, path.name
        distance = np.abs(found.keypoints[:, None] - expected.keypoints).max(axis=3)  # (found, expected, keypoint)
        assert (np.median(distance, axis=2).min(axis=0) < 0.02 * max(read_image(path).shape)).all(), path.name


@pytest.mark.parametrize("model", [m for m in MODELS.values() if m.like], ids=lambda model: model.name)
def test_model_like_another_shares_its_network(model: ModelEntry) -> None:
    other = MODELS[model.like]
    assert model.file([".safetensors"]) == other.file([".safetensors"])
    assert (model.input_size_hw, model.files) != (other.input_size_hw, other.files)
    spec = Estimator.open(model.name).spec
    assert spec.name == Path(model.file([".onnx"]).name).stem
    assert spec.input_size_hw == model.input_size_hw
    assert replace(spec, name=other.name, input_size_hw=other.input_size_hw) == Estimator.open(other.name).spec
    assert Estimator.open(model.name, RuntimeOptions(input_size=(96, 128))).spec.input_size_hw == (96, 128)


def test_catalogue_sets_the_input_size_of_names_but_not_of_files(
    catalogue_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue, "read_catalogue", lambda: ({"twin": replace(entry("small-64"), like="a")}, "twin"))
    monkeypatch.chdir(catalogue_folder)
    assert resolve_model("twin") == resolve_model("default") == (catalogue_folder / "small-64.onnx", (64, 64))
    (catalogue_folder / "twin").write_bytes(b"mine")
    assert resolve_model("twin") == (Path("twin"), None)


@pytest.mark.parametrize("name", ["default", "small-64"])
def test_name_resolves_to_the_bundled_file(catalogue_folder: Path, name: str) -> None:
    assert resolve_model(name).path == catalogue_folder / "small-64.onnx"


def test_suffixes_select_the_format(catalogue_folder: Path) -> None:
    (catalogue_folder / "small-64.safetensors").write_bytes(b"model")
    assert resolve_model("small-64", (".safetensors",)).path == catalogue_folder / "small-64.safetensors"
    assert resolve_model("small-64", (".engine", ".onnx")).path == catalogue_folder / "small-64.onnx"
    with pytest.raises(ModelError, match=r"'small-64' has no \.xml file; available: small-64\.onnx, small-64\.saf"):
        resolve_model("small-64", (".xml",))


def test_missing_bundled_file_is_reported(catalogue_folder: Path) -> None:
    (catalogue_folder / "small-64.onnx").unlink()
    with pytest.raises(ModelError, match=r"'small-64\.onnx' of the model 'small-64' is missing at") as caught:
        resolve_model("default")
    assert "reinstall e2pose" in caught.value.hint


def test_unknown_name_lists_names_and_suggests_one(catalogue_folder: Path) -> None:
    with pytest.raises(ModelError, match="unknown model 'smal-64'; available: default, small-64, large-64") as caught:
        resolve_model("smal-64")
    assert caught.value.hint == "did you mean 'small-64'?"
    with pytest.raises(ModelError) as caught:
        resolve_model("yolo")
    assert "path of a model file" in caught.value.hint


def test_existing_file_takes_precedence_over_name(catalogue_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(catalogue_folder)
    (catalogue_folder / "large-64").write_bytes(b"mine")
    assert resolve_model("large-64").path == Path("large-64")


@pytest.mark.parametrize("path", ["none.onnx", "weights/none", Path("none"), "NONE.SAFETENSORS"])
def test_path_is_not_looked_up_by_name(catalogue_folder: Path, path: str | Path) -> None:
    assert resolve_model(path).path == Path(path)


def test_model_that_is_not_bundled_comes_from_the_cache_or_a_download(catalogue_folder: Path) -> None:
    with pytest.raises(ModelError, match=r"'large-64\.onnx' is not in the cache, and E2POSE_OFFLINE forbids downloads"):
        resolve_model("large-64")
    cached = catalogue_folder / "home" / "models" / entry("").files[0].sha256[:12] / "large-64.onnx"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"model")
    assert resolve_model("large-64").path == cached


@pytest.mark.parametrize("path", ["x" * 300, "~no-such-user/a.onnx"])
def test_invalid_path_is_reported(catalogue_folder: Path, path: str) -> None:
    with pytest.raises(ModelError, match="cannot read the model"):
        resolve_model(path)


def test_models_of_the_authors_are_complete() -> None:
    models = read_authors_models()
    assert len(models) == len({model.url for model in models.values()}) == 10
    for name, model in models.items():
        assert name.endswith(f"-{model.input_size_hw[0]}x{model.input_size_hw[1]}")
        assert model.url.startswith("https://")
    known = models["aisin-resnet101-512x512"]
    assert known.size_bytes == 190_311_190
    assert str(known.sha256).startswith("4d2b0491")
    assert len(str(known.sha256)) == 64


def test_model_of_the_authors_must_be_converted_first(catalogue_folder: Path) -> None:
    with pytest.raises(ModelError, match="is a TensorFlow graph") as caught:
        resolve_model("aisin-resnet50-320x320")
    assert "e2pose convert aisin-resnet50-320x320" in caught.value.hint


def test_local_models_are_bundled_or_cached(catalogue_folder: Path) -> None:
    assert local_models() == ["small-64"]
    cached = catalogue.cached_path("large-64.onnx", hashlib.sha256(b"model").hexdigest())
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"model")
    assert local_models() == ["small-64", "large-64"]
    assert resolve_model("large-64").path == cached
    assert local_models((".safetensors",)) == ["small-64"]
    assert local_models((".engine",)) == []


def test_model_like_another_overrides_its_fields() -> None:
    models = {"a": {"gmacs": 2, "licence": "x", "files": [1]}, "b": {"like": "a", "gmacs": 1, "files": [2]}}
    assert catalogue._inherit_fields("b", models) == {"like": "a", "gmacs": 1, "licence": "x", "files": [1, 2]}
