"""From paths to a report about the labelled images there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from e2pose.core.errors import E2PoseError, OptionError
from e2pose.core.schema import KeypointSchema
from e2pose.data.config import DataSetConfig
from e2pose.data.image_sets import open_set, read_set, recipe_schema
from e2pose.data.inspection.findings import Finding, Part, Problem, summarise
from e2pose.data.inspection.image_files import copies, read_pictures
from e2pose.data.inspection.labels import label_problems
from e2pose.data.inspection.left_right import flip_problems
from e2pose.data.inspection.statistics import Statistics, label_statistics
from e2pose.formats.yolo import read_yolo_file
from e2pose.training.recipe import Recipe, load_recipe

LABELS = "labels that cannot be used"
EVERYWHERE = "all together"


@dataclass(frozen=True)
class DataReport:
    """What an inspection has found, and what the labels are like."""

    findings: tuple[Finding, ...]
    statistics: tuple[Statistics, ...]

    @property
    def has_errors(self) -> bool:
        """Whether anything found is an error."""
        return any(finding.is_error for finding in self.findings)

    def to_record(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return {
            "findings": [finding.to_record() for finding in self.findings],
            "statistics": [numbers.to_record() for numbers in self.statistics],
        }


def open_parts(paths: Sequence[Path], *, images: Path | None, root: Path | None) -> tuple[list[Part], list[Finding]]:
    """Reads the labels of image sets, and of those of recipes.

    Args:
        paths: Folders with `annotations.json` or `data.yaml`, such files themselves, or recipes.
        images: Where the images of `.json` files are; if None, in a folder `images` beside the file.
        root: Folder of a recipe's sets; if None, as the recipe says.

    Returns:
        What can be read, and for the rest why not.

    Raises:
        OptionError: A path is nothing of that, or a recipe cannot be read.
    """
    parts: list[Part] = []
    findings: list[Finding] = []
    for path in paths:
        if not path.exists():
            raise OptionError(
                f"there is no '{path}'", "give a folder with labelled images, a file of labels or a recipe"
            )
        for name, read in _readers(path, images, root):
            try:
                parts += read()
            except E2PoseError as error:
                findings += summarise(name, [Problem(LABELS, error.message, is_error=True)])
    return parts, findings


def inspect(parts: Sequence[Part], *, progress: Callable[[int], None] | None = None) -> DataReport:
    """Looks at all labels and pictures.

    Args:
        parts: What to look at.
        progress: Told the total number of pictures after each of them.
    """
    in_pictures, prints = read_pictures(parts, progress)
    findings: list[Finding] = []
    for part, problems in zip(parts, in_pictures, strict=True):
        findings += summarise(part.name, chain(problems, label_problems(part.dataset), flip_problems(part.dataset)))
    findings += summarise(EVERYWHERE, copies(parts, prints))
    return DataReport(tuple(findings), tuple(label_statistics(part) for part in parts))


_Reader = tuple[str, Callable[[], list[Part]]]


def _readers(path: Path, images: Path | None, root: Path | None) -> list[_Reader]:
    """What has to be read for a path, each with its name."""
    if path.suffix == ".toml":
        recipe = load_recipe(path)
        folder = Path(root or recipe.data.root)
        return [
            (part.path, lambda part=part: _recipe_parts(part, folder, recipe))  # type: ignore[misc]
            for part in recipe.data.sets
        ]
    yaml = path if path.suffix in (".yaml", ".yml") else path / "data.yaml"
    if yaml.is_file() and not (path / "annotations.json").is_file():
        return [(str(path), lambda: _yolo_parts(yaml))]
    config = DataSetConfig(path=path.name)
    if path.is_file():
        config = DataSetConfig(
            path="", annotations=path.name, images=str((images or path.parent / "images").absolute())
        )
    return [(str(path), lambda: [_part(str(path), config, path.parent)])]


def _part(name: str, config: DataSetConfig, root: Path) -> Part:
    folder, dataset = read_set(config, root)
    return Part(name, folder, dataset, side=name)


def _yolo_parts(yaml: Path) -> list[Part]:
    parts = []
    for split in read_yolo_file(yaml).splits:
        config = DataSetConfig.model_validate({"path": yaml.name, "split": split})
        parts.append(_part(f"{yaml.parent.name}: {split}", config, yaml.parent))
    return parts


def _recipe_parts(config: DataSetConfig, root: Path, recipe: Recipe) -> list[Part]:
    schema: KeypointSchema = recipe_schema(recipe, root)
    part = open_set(config, root, schema)
    learned = Part(config.path, part.folder, part.annotations, side="learned")
    heldout = replace(learned, name=f"{config.path}: held out", dataset=part.heldout, side="held out")
    return [learned, heldout] if part.heldout.images else [learned]
