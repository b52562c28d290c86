"""Which models there are, and where their files lie."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from e2pose.core.errors import ModelError
from e2pose.zoo.authors import read_authors_models
from e2pose.zoo.download import cached_path, fetch

_ROOM = Path(__file__).parent
_WEIGHTS = _ROOM / "weights"


@dataclass(frozen=True)
class ModelFile:
    """A file of a model.

    Args:
        name: Its name.
        size_bytes: Its length.
        sha256: Its hash, in hexadecimal digits.
        urls: Where to fetch it from, in order of preference; none for a file that comes with the package.
    """

    name: str
    size_bytes: int
    sha256: str
    urls: tuple[str, ...] = ()

    @property
    def is_bundled(self) -> bool:
        """Whether it comes with the package."""
        return not self.urls


@dataclass(frozen=True)
class ModelEntry:
    """A model of the catalogue.

    Args:
        name: What to ask for.
        input_size_hw: Height and width of the canvas in pixels.
        parameters_m: Millions of parameters.
        gmacs: Billions of multiplications for one canvas.
        coco_val_ap: Keypoint AP on COCO's validation pictures, 0 to 100.
        licence: SPDX identifier of the weights' licence.
        trained_on: Names of the data sets.
        files: The same model in several formats.
        like: The model whose network this is, on a canvas or in a file of its own; None for a model of its own.
    """

    name: str
    input_size_hw: tuple[int, int]
    parameters_m: float
    gmacs: float
    coco_val_ap: float
    licence: str
    trained_on: tuple[str, ...]
    files: tuple[ModelFile, ...]
    like: str | None = None

    @property
    def is_bundled(self) -> bool:
        """Whether it comes with the package."""
        return all(file.is_bundled for file in self.files)

    def file(self, suffixes: Sequence[str]) -> ModelFile | None:
        """The first of its files that ends in one of the suffixes."""
        return next((file for file in self.files if Path(file.name).suffix in suffixes), None)


@cache
def read_catalogue() -> tuple[dict[str, ModelEntry], str]:
    """All models by name, and the name of the default one."""
    record = tomllib.loads((_ROOM / "models.toml").read_text(encoding="utf-8"))
    models = {name: _entry(name, record["models"]) for name in record["models"]}
    return models, str(record["default"])


def _entry(name: str, models: Mapping[str, Mapping[str, Any]]) -> ModelEntry:
    fields = _fields(name, models)
    files = {Path(file["name"]).suffix: ModelFile(**_frozen(file)) for file in fields["files"]}
    return ModelEntry(name=name, **_frozen({**fields, "files": tuple(files.values())}))


def _fields(name: str, models: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What is said of a model, and for the rest what is said of the one that it is `like`; its own files come last."""
    own = models[name]
    other = _fields(own["like"], models) if "like" in own else {}
    return {**other, **own, "files": [*other.get("files", ()), *own.get("files", ())]}


def _frozen(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()}


def find_model(name_or_path: str | Path, suffixes: Sequence[str] = (".onnx",)) -> Path:
    """The file of a model; it is fetched if it neither comes with the package nor has been fetched before.

    Args:
        name_or_path: A name from the catalogue, "default", or the path of a model file. A file that exists wins.
        suffixes: Which of its files will do, if it is from the catalogue.

    Raises:
        ModelError: There is no such model, it has no such file, or it cannot be fetched.
    """
    try:
        path = Path(name_or_path).expanduser()
        if path.is_file() or _looks_like_path(name_or_path):
            return path
    except (OSError, RuntimeError) as error:  # a home folder that is not known is a RuntimeError
        reason = getattr(error, "strerror", None) or error
        raise ModelError(f"cannot read the model '{name_or_path}': {reason}", "check the path") from error
    models, default = read_catalogue()
    name = default if name_or_path == "default" else str(name_or_path)
    if name in read_authors_models():
        raise ModelError(
            f"'{name}' is a TensorFlow graph, which no runtime reads",
            f"convert it first: e2pose convert {name} {name}.onnx",
        )
    if name not in models:
        close = difflib.get_close_matches(name, models, n=1)
        raise ModelError(
            f"there is no model '{name}'; there is: {', '.join(models)}",
            f"did you mean '{close[0]}'?" if close else "give one of these names, or the path of a model file",
        )
    file = models[name].file(suffixes)
    if file is None:
        raise ModelError(
            f"the model '{name}' has no {' or '.join(suffixes)} file; there is: "
            + ", ".join(file.name for file in models[name].files),
            "export one, or leave the runtime out",
        )
    if not file.is_bundled:
        return fetch(file.name, file.urls, size_bytes=file.size_bytes, sha256=file.sha256)
    bundled = _WEIGHTS / file.name
    if not bundled.is_file():
        raise ModelError(
            f"'{file.name}' of the model '{name}' should be at '{bundled}', but is not",
            "install e2pose again, or give the path of a model file",
        )
    return bundled


def input_size_of(name_or_path: str | Path) -> tuple[int, int] | None:
    """Height and width of the canvas of a model of the catalogue that is another one on a canvas of its own.

    None for everything else: a file says it itself.
    """
    entry = read_catalogue()[0].get(str(name_or_path))
    return entry.input_size_hw if entry and entry.like and not Path(name_or_path).is_file() else None


def local_models(suffixes: Sequence[str] = (".onnx",)) -> list[str]:
    """The names of the catalogue that need no fetching: their file comes with the package or was fetched before.

    Args:
        suffixes: Which of the files of a model will do.
    """
    files = {name: entry.file(suffixes) for name, entry in read_catalogue()[0].items()}
    return [
        name
        for name, file in files.items()
        if file is not None and (file.is_bundled or cached_path(file.name, file.sha256).is_file())
    ]


def _looks_like_path(name_or_path: str | Path) -> bool:
    """Whether it can only be meant as a path: a model that is missing there is then not searched for by name."""
    text = str(name_or_path)
    return (
        isinstance(name_or_path, Path)
        or "/" in text
        or "\\" in text
        or Path(text).suffix.lower() in (".onnx", ".safetensors", ".xml", ".engine", ".pb")
    )
