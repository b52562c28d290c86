"""What an inspection has found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from e2pose.core.annotations import Annotations, ImageAnnotation

_EXAMPLES = 3


@dataclass(frozen=True, eq=False)
class Part:
    """Images that belong together.

    Args:
        name: What to call them.
        folder: Where the image files are.
        dataset: Their labels.
        side: Parts of different sides must not share a picture: those that are learned from, those held out.
    """

    name: str
    folder: Path
    dataset: Annotations
    side: str

    def path(self, image: ImageAnnotation) -> Path:
        """The file of one of the images."""
        return self.folder / image.file_name


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong in one place.

    Args:
        check: What is wrong, in a few words: the same for all places.
        example: Where, and how.
        is_error: Whether a training would fail or a measurement would be worth nothing; else it is a warning.
    """

    check: str
    example: str
    is_error: bool = False


@dataclass(frozen=True)
class Finding:
    """One kind of problem of a part: how often, and the first few places."""

    part: str
    check: str
    is_error: bool
    count: int
    examples: tuple[str, ...]

    def to_record(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


def summarise(part: str, problems: Iterable[Problem]) -> list[Finding]:
    """Counts problems of the same kind; errors first, then the most frequent."""
    kinds: dict[tuple[bool, str], list[str]] = {}
    for problem in problems:
        kinds.setdefault((problem.is_error, problem.check), []).append(problem.example)
    findings = [
        Finding(part, check, is_error, len(examples), tuple(examples[:_EXAMPLES]))
        for (is_error, check), examples in kinds.items()
    ]
    return sorted(findings, key=lambda finding: (not finding.is_error, -finding.count))
