"""The models of the original authors, and where to download them."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from e2pose.zoo.download import fetch


@dataclass(frozen=True)
class AuthorsModel:
    """A frozen TensorFlow graph published by the authors of E2Pose."""

    name: str
    input_size_hw: tuple[int, int]
    url: str
    size_bytes: int | None = None  # None if unknown
    sha256: str | None = None  # None if unknown: the first download records it

    @property
    def file(self) -> str:
        """Name of the file in the cache and on a mirror."""
        return f"{self.name}.pb"


@cache
def read_authors_models() -> dict[str, AuthorsModel]:
    """Returns the ten models by name."""
    record = tomllib.loads(Path(__file__).with_name("authors.toml").read_text(encoding="utf-8"))
    return {
        name: AuthorsModel(name=name, **{**fields, "input_size_hw": tuple(fields["input_size_hw"])})
        for name, fields in record.items()
    }


def fetch_authors_model(name: str) -> Path:
    """Returns the file of a model, downloaded if it is not in the cache.

    Raises:
        ModelError: The download fails.
        OutputError: The cache folder cannot be written.
    """
    model = read_authors_models()[name]
    return fetch(model.file, [model.url], size_bytes=model.size_bytes, sha256=model.sha256)
