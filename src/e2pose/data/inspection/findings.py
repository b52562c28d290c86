"""Checks, the problems that they find, and findings: problems of one kind, counted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from e2pose.core.annotations import Annotations, ImageAnnotation
from e2pose.data.config import AugmentConfig
from e2pose.data.selection import ScaleLimit

_MAX_EXAMPLES = 3


@dataclass(frozen=True, eq=False)
class Subset:
    """Images that are inspected and reported together."""

    name: str  # in the report
    folder: Path  # of the image files
    annotations: Annotations
    split: str  # subsets of different splits, such as training and held-out images, must not share images
    source: str  # the recipe, or the name of the subset: what a training would read together
    is_trained: bool = True  # false for held-out images
    augment: AugmentConfig = field(default_factory=AugmentConfig)  # of the recipe, or the default
    scale_limit: ScaleLimit | None = None  # likewise; None for no limit

    def path(self, image: ImageAnnotation) -> Path:
        """Returns the path of an image file."""
        return self.folder / image.file_name


@dataclass(frozen=True)
class Check:
    """One kind of problem."""

    title: str
    advice: str  # why it matters and what to do
    is_error: bool = False  # a training would fail or an evaluation would be invalid; otherwise it is a warning


@dataclass(frozen=True)
class Problem:
    """One place where a check failed: file, person and values."""

    check: Check
    example: str


@dataclass(frozen=True)
class Finding:
    """All problems of one kind in a subset: their number and the first few examples."""

    subset: str
    check: Check
    count: int
    examples: tuple[str, ...]


def summarise(subset: str, problems: Iterable[Problem]) -> list[Finding]:
    """Counts problems by check; returns errors first, then the most frequent."""
    examples: dict[Check, list[str]] = {}
    for problem in problems:
        examples.setdefault(problem.check, []).append(problem.example)
    findings = [
        Finding(subset, check, len(places), tuple(places[:_MAX_EXAMPLES])) for check, places in examples.items()
    ]
    return sorted(findings, key=lambda finding: (not finding.check.is_error, -finding.count))
