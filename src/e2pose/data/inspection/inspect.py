"""Inspection of labelled images: from paths to a report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path

from e2pose.core.errors import E2PoseError, OptionError
from e2pose.data.config import DataSetConfig
from e2pose.data.image_sets import open_set, read_set, resolve_schema
from e2pose.data.inspection.findings import Check, Finding, Problem, Subset, summarise
from e2pose.data.inspection.image_files import check_image_files, find_duplicates
from e2pose.data.inspection.labels import find_label_problems
from e2pose.data.inspection.left_right import find_flip_problems
from e2pose.data.inspection.statistics import Statistics, label_statistics
from e2pose.formats.data_yaml import read_data_yaml

UNUSABLE = Check("unusable labels", "A training rejects this image set. Correct or remove it.", is_error=True)


@dataclass(frozen=True)
class RecipeSets:
    """The image sets of a recipe, the name of its schema and the folder of the sets."""

    sets: tuple[DataSetConfig, ...]
    schema_name: str
    root: Path


@dataclass(frozen=True)
class DataReport:
    """The findings of an inspection, and statistics of the labels."""

    findings: tuple[Finding, ...]
    statistics: tuple[Statistics, ...]

    @property
    def has_errors(self) -> bool:
        """Whether any finding is an error."""
        return any(finding.check.is_error for finding in self.findings)


def open_subsets(
    sources: Sequence[Path | RecipeSets], *, images: Path | None = None
) -> tuple[list[Subset], list[Finding]]:
    """Returns the subsets that can be read, and a finding for each set that cannot.

    A source is a folder with `annotations.json` or `data.yaml`, such a file itself, or the sets of a recipe. `images`
    is the folder of the image files of `.json` files; if None, the folder `images` beside the file.

    Raises:
        OptionError: A path does not exist.
    """
    subsets: list[Subset] = []
    findings: list[Finding] = []
    for source in sources:
        for name, read in _readers(source, images):
            try:
                subsets += read()
            except E2PoseError as error:
                findings += summarise(name, [Problem(UNUSABLE, error.message)])
    return subsets, findings


def inspect(subsets: Sequence[Subset], *, progress: Callable[[int], None] | None = None) -> DataReport:
    """Checks all labels and image files. Calls `progress` with the total number of images after each image."""
    image_problems, fingerprints = check_image_files(subsets, progress)
    findings: list[Finding] = []
    for subset, problems in zip(subsets, image_problems, strict=True):
        labels = subset.annotations
        findings += summarise(subset.name, chain(problems, find_label_problems(labels), find_flip_problems(labels)))
    findings += summarise("all subsets", find_duplicates(fingerprints))
    return DataReport(tuple(findings), tuple(label_statistics(subset) for subset in subsets))


def _readers(path: Path | RecipeSets, images: Path | None) -> list[tuple[str, Callable[[], list[Subset]]]]:
    """Returns the name of each image set, and a function that reads it."""
    if isinstance(path, RecipeSets):
        return [(config.path, partial(_read_recipe_set, config, path)) for config in path.sets]
    if not path.exists():
        raise OptionError(
            f"'{path}' does not exist",
            "use a folder with annotations.json or data.yaml, an annotation file or a recipe",
        )
    yaml = path if path.suffix in (".yaml", ".yml") else path / "data.yaml"
    if yaml.is_file() and not (path / "annotations.json").is_file():
        return [(str(path), partial(_read_yolo, yaml))]
    config = DataSetConfig(path=path.name)
    if path.is_file():
        folder = (images or path.parent / "images").absolute()
        config = DataSetConfig(path="", annotations=path.name, images=str(folder))
    return [(str(path), lambda: [_read(str(path), config, path.parent)])]


def _read(name: str, config: DataSetConfig, root: Path) -> Subset:
    folder, annotations = read_set(config, root)
    return Subset(name, folder, annotations, split=name)


def _read_yolo(yaml: Path) -> list[Subset]:
    splits = read_data_yaml(yaml).splits
    configs = [DataSetConfig.model_validate({"path": yaml.name, "split": split}) for split in splits]
    return [_read(f"{yaml.parent.name}: {config.split}", config, yaml.parent) for config in configs]


def _read_recipe_set(config: DataSetConfig, recipe: RecipeSets) -> list[Subset]:
    schema = resolve_schema(recipe.schema_name, recipe.sets, recipe.root)
    opened = open_set(config, recipe.root, schema)
    training = Subset(config.path, opened.folder, opened.training, split="training")
    held_out = replace(training, name=f"{config.path}: held out", annotations=opened.held_out, split="held out")
    return [training, held_out] if opened.held_out.images else [training]
