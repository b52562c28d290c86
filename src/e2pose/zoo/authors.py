"""The models of the original authors: where their files are."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from e2pose.zoo.download import fetch


@dataclass(frozen=True)
class AuthorsModel:
    """A frozen TensorFlow graph that the authors of E2Pose published.

    Args:
        name: What to ask for.
        input_size_hw: Height and width of its canvas in pixels.
        url: Where they have put it.
        size_bytes: Length of the file, if known.
        sha256: Its hash, if known; otherwise it is recorded when the file is fetched for the first time.
    """

    name: str
    input_size_hw: tuple[int, int]
    url: str
    size_bytes: int | None = None
    sha256: str | None = None

    @property
    def file(self) -> str:
        """Name of the file in the cache and on a mirror."""
        return f"{self.name}.pb"


@cache
def read_authors_models() -> dict[str, AuthorsModel]:
    """All ten by name."""
    record = tomllib.loads(Path(__file__).with_name("authors.toml").read_text(encoding="utf-8"))
    return {
        name: AuthorsModel(name=name, **{**fields, "input_size_hw": tuple(fields["input_size_hw"])})
        for name, fields in record.items()
    }


def fetch_authors_model(name: str) -> Path:
    """The file of one of them, fetched if it is not there yet.

    Raises:
        ModelError: It cannot be fetched.
        OutputError: The cache folder cannot be written.
    """
    model = read_authors_models()[name]
    return fetch(model.file, [model.url], size_bytes=model.size_bytes, sha256=model.sha256)
