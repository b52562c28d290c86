"""The catalogue of models: their names, and the files behind them."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from e2pose.core.address import is_address, redact_address
from e2pose.core.arguments import check_path
from e2pose.core.errors import ModelError
from e2pose.core.files import reason_of
from e2pose.zoo.authors import read_authors_models
from e2pose.zoo.download import cached_path, fetch

_CATALOGUE = Path(__file__).with_name("models.toml")
_WEIGHTS = Path(__file__).with_name("weights")
_MODEL_SUFFIXES = (".onnx", ".safetensors", ".xml", ".engine", ".pb")


@dataclass(frozen=True)
class ModelFile:
    """A file of a model."""

    name: str
    size_bytes: int
    sha256: str  # hexadecimal digits
    urls: tuple[str, ...] = ()  # in order of preference; empty for a file that is part of the package

    @property
    def is_bundled(self) -> bool:
        """Whether the file is part of the package."""
        return not self.urls


@dataclass(frozen=True)
class ModelEntry:
    """A model of the catalogue."""

    name: str
    input_size_hw: tuple[int, int]
    parameters_m: float  # millions
    gmacs: float  # billions of multiply-accumulate operations for one input
    coco_val_ap: float  # keypoint AP on COCO val2017, 0 to 100
    licence: str  # SPDX identifier of the weights' licence
    trained_on: tuple[str, ...]  # datasets
    files: tuple[ModelFile, ...]  # the model in several formats
    like: str | None = None  # model whose network this one shares, with another input size or precision

    @property
    def is_bundled(self) -> bool:
        """Whether all files are part of the package."""
        return all(file.is_bundled for file in self.files)

    def file(self, suffixes: Sequence[str]) -> ModelFile | None:
        """Returns the first file with one of the suffixes, or None."""
        return next((file for file in self.files if Path(file.name).suffix in suffixes), None)


class ResolvedModel(NamedTuple):
    """The file behind a model name."""

    path: Path
    input_size_hw: tuple[int, int] | None  # None unless the catalogue overrides the input size in the file


@cache
def read_catalogue() -> tuple[dict[str, ModelEntry], str]:
    """Returns all models by name, and the name of the default model."""
    record = tomllib.loads(_CATALOGUE.read_text(encoding="utf-8"))
    models = {name: _parse_entry(name, record["models"]) for name in record["models"]}
    return models, str(record["default"])


def _parse_entry(name: str, models: Mapping[str, Mapping[str, Any]]) -> ModelEntry:
    fields = _inherit_fields(name, models)
    files = {Path(file["name"]).suffix: ModelFile(**_with_tuples(file)) for file in fields["files"]}
    return ModelEntry(name=name, **_with_tuples({**fields, "files": tuple(files.values())}))


def _inherit_fields(name: str, models: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Returns the fields of a model over those of the model that it is `like`; its own files come last."""
    own = models[name]
    inherited = _inherit_fields(own["like"], models) if "like" in own else {}
    return {**inherited, **own, "files": [*inherited.get("files", ()), *own.get("files", ())]}


def _with_tuples(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()}


def resolve_model(name_or_path: str | Path, suffixes: Sequence[str] = (".onnx",)) -> ResolvedModel:
    """Finds the file of a model, and downloads it if it is neither bundled nor in the cache.

    Args:
        name_or_path: A name from the catalogue, "default", or the path of a model file. An existing file takes
            precedence over a name.
        suffixes: Accepted file formats of a model from the catalogue.

    Raises:
        ModelError: The name is unknown, the model has no such file, or the download fails.
        OutputError: The cache folder cannot be written.
    """
    name_or_path = check_path("the model", name_or_path, error=ModelError)
    if is_address(name_or_path):
        raise ModelError(
            f"a model cannot be loaded from the address '{redact_address(name_or_path)}'",
            "download the file, and use its path",
        )
    try:
        path = Path(name_or_path).expanduser()
        if path.is_file() or _is_path(name_or_path):
            return ResolvedModel(path, None)
    except (OSError, RuntimeError) as error:  # an unknown home folder is a RuntimeError
        reason = reason_of(error)
        raise ModelError(f"cannot read the model '{name_or_path}': {reason}", "check the path") from error
    entry = _find_entry(str(name_or_path))
    return ResolvedModel(_find_file(entry, suffixes), entry.input_size_hw if entry.like else None)


def _is_path(name_or_path: str | Path) -> bool:
    """Returns whether the text can only be a path, so that a missing file is not looked up by name."""
    text = str(name_or_path)
    return isinstance(name_or_path, Path) or "/" in text or "\\" in text or Path(text).suffix.lower() in _MODEL_SUFFIXES


def _find_entry(name: str) -> ModelEntry:
    models, default = read_catalogue()
    if name == "default":
        return models[default]
    if name in read_authors_models():
        raise ModelError(
            f"'{name}' is a TensorFlow graph, which no runtime reads",
            f"convert it first: e2pose convert {name} {name}.onnx",
        )
    if name not in models:
        names = ["default", *models]
        close = difflib.get_close_matches(name, names, n=1)
        raise ModelError(
            f"unknown model '{name}'; available: {', '.join(names)}",
            f"did you mean '{close[0]}'?" if close else "use one of these names, or the path of a model file",
        )
    return models[name]


def _find_file(entry: ModelEntry, suffixes: Sequence[str]) -> Path:
    file = entry.file(suffixes)
    if file is None:
        raise ModelError(
            f"the model '{entry.name}' has no {' or '.join(suffixes)} file; available: "
            + ", ".join(file.name for file in entry.files),
            "export the model to that format with e2pose export, or omit the runtime",
        )
    if not file.is_bundled:
        return fetch(file.name, file.urls, size_bytes=file.size_bytes, sha256=file.sha256)
    path = _WEIGHTS / file.name
    if not path.is_file():
        raise ModelError(
            f"the file '{file.name}' of the model '{entry.name}' is missing at '{path}'",
            "reinstall e2pose, or use the path of a model file",
        )
    return path


def local_models(suffixes: Sequence[str] = (".onnx",)) -> list[str]:
    """Returns the names of the models that need no download: their file is bundled or in the cache."""
    files = {name: entry.file(suffixes) for name, entry in read_catalogue()[0].items()}
    return [
        name
        for name, file in files.items()
        if file is not None and (file.is_bundled or cached_path(file.name, file.sha256).is_file())
    ]
