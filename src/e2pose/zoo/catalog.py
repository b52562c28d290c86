"""Which models there are, and where their files lie."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from e2pose.core.errors import ModelError
from e2pose.zoo.authors import read_authors_models
from e2pose.zoo.download import fetch

_ROOM = Path(__file__).parent
_WEIGHTS = _ROOM / "weights"


@dataclass(frozen=True)
class ModelEntry:
    """One line of the catalogue.

    Args:
        name: What to ask for.
        file: Name of its file.
        size_bytes: Length of the file.
        sha256: Its hash, in hexadecimal digits.
        size_hw: Height and width of the canvas in pixels.
        parameters_m: Millions of parameters.
        gmacs: Billions of multiplications for one canvas.
        coco_val_ap: Keypoint AP on COCO's validation pictures, 0 to 100.
        licence: SPDX identifier of the weights' licence.
        trained_on: Names of the data sets.
        urls: Where to fetch the file from, in order of preference; none for a model that comes with the package.
    """

    name: str
    file: str
    size_bytes: int
    sha256: str
    size_hw: tuple[int, int]
    parameters_m: float
    gmacs: float
    coco_val_ap: float
    licence: str
    trained_on: tuple[str, ...]
    urls: tuple[str, ...] = ()

    @property
    def is_bundled(self) -> bool:
        """Whether the file comes with the package."""
        return not self.urls


@cache
def read_catalog() -> tuple[dict[str, ModelEntry], str]:
    """All models by name, and the name of the default one."""
    record = tomllib.loads((_ROOM / "models.toml").read_text(encoding="utf-8"))
    models = {name: _entry(name, fields) for name, fields in record["models"].items()}
    return models, str(record["default"])


def _entry(name: str, fields: Mapping[str, Any]) -> ModelEntry:
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()}
    return ModelEntry(name=name, **values)


def find_model(name_or_path: str | Path) -> Path:
    """The file of a model; it is fetched if it neither comes with the package nor has been fetched before.

    Args:
        name_or_path: A name from the catalogue, "default", or the path of a model file. A file that exists wins.

    Raises:
        ModelError: There is no such model or it cannot be fetched.
    """
    try:
        path = Path(name_or_path).expanduser()
        if path.is_file() or _looks_like_path(name_or_path):
            return path
    except (OSError, RuntimeError) as error:  # a home folder that is not known is a RuntimeError
        reason = getattr(error, "strerror", None) or error
        raise ModelError(f"cannot read the model '{name_or_path}': {reason}", "check the path") from error
    models, default = read_catalog()
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
    entry = models[name]
    if not entry.is_bundled:
        return fetch(entry.file, entry.urls, size_bytes=entry.size_bytes, sha256=entry.sha256)
    bundled = _WEIGHTS / entry.file
    if not bundled.is_file():
        raise ModelError(
            f"the model '{name}' should be at '{bundled}', but is not",
            "install e2pose again, or give the path of a model file",
        )
    return bundled


def _looks_like_path(name_or_path: str | Path) -> bool:
    """Whether it can only be meant as a path: a model that is missing there is then not searched for by name."""
    text = str(name_or_path)
    return (
        isinstance(name_or_path, Path)
        or "/" in text
        or "\\" in text
        or Path(text).suffix.lower() in (".onnx", ".safetensors", ".xml", ".engine", ".pb")
    )
