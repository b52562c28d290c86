"""Inspection of labelled images: from paths to a report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path

from e2pose.core.errors import AnnotationError, E2PoseError, OptionError
from e2pose.core.spec import Fit
from e2pose.data.config import DEFAULT_FIT, DEFAULT_INPUT_SIZE_HW, AugmentConfig, DataSetConfig
from e2pose.data.image_sets import open_set, read_set, resolve_schema
from e2pose.data.inspection.findings import Check, Finding, Problem, Subset, summarise
from e2pose.data.inspection.image_files import check_image_files, find_duplicates, to_problem
from e2pose.data.inspection.labels import find_label_problems
from e2pose.data.inspection.left_right import find_flip_problems
from e2pose.data.inspection.statistics import Statistics, label_statistics
from e2pose.data.selection import CORRECT_OMITTED, Selection, check_selections, largest_scale, select
from e2pose.formats.data_yaml import read_data_yaml
from e2pose.formats.detect import find_labels

UNUSABLE = Check("unusable labels", "A training rejects this image set. Correct or remove it.", is_error=True)
NOTHING_LEARNED = Check(
    "nothing to learn", "A training stops before its first step. Correct what is omitted.", is_error=True
)


@dataclass(frozen=True)
class RecipeSets:
    """The parts of a recipe that determine which images and persons a training uses."""

    name: str
    sets: tuple[DataSetConfig, ...]
    schema_name: str
    root: Path  # folder of the sets
    input_size_hw: tuple[int, int]
    fit: Fit
    augment: AugmentConfig


@dataclass(frozen=True)
class Unread:
    """An image set whose annotations cannot be read."""

    source: str
    name: str
    error: E2PoseError


@dataclass(frozen=True)
class Verdict:
    """Whether a training on a recipe, a folder or an annotation file would start, and on how much."""

    source: str
    usable: bool
    persons: int
    images: int


@dataclass(frozen=True)
class DataReport:
    """The findings of an inspection, statistics of the labels, and what a training uses of them."""

    findings: tuple[Finding, ...]
    statistics: tuple[Statistics, ...]
    selections: tuple[Selection | None, ...]  # of each subset; None for held-out images
    verdicts: tuple[Verdict, ...]  # of each source

    @property
    def has_errors(self) -> bool:
        """Whether any finding is an error."""
        return any(finding.check.is_error for finding in self.findings)


def open_subsets(
    sources: Sequence[Path | RecipeSets],
    *,
    images: Path | None = None,
    category: Sequence[str] = (),
    schema_name: str | None = None,
) -> tuple[list[Subset], list[Unread]]:
    """Returns the subsets that can be read, and the sets that cannot.

    A source is a folder with `annotations.json` or `data.yaml`, such a file itself, or the sets of a recipe. `images`
    is the folder of the image files of `.json` files; if None, the folder `images` beside the file, or without such a
    folder that of the file. `category` and `schema_name` apply to folders and files, see `DataSetConfig`.

    Raises:
        OptionError: A path does not exist.
    """
    subsets: list[Subset] = []
    unread: list[Unread] = []
    for source in sources:
        for name, read in _readers(source, images, {"category": tuple(category) or None, "schema": schema_name}):
            try:
                subsets += read()
            except E2PoseError as error:
                unread.append(Unread(source.name if isinstance(source, RecipeSets) else name, name, error))
    return subsets, unread


def inspect(
    subsets: Sequence[Subset], unread: Sequence[Unread] = (), *, progress: Callable[[int], None] | None = None
) -> DataReport:
    """Checks all labels and image files. Calls `progress` with the total number of images after each image."""
    image_errors, fingerprints = check_image_files(subsets, progress)
    findings = [finding for one in unread for finding in summarise(one.name, [Problem(UNUSABLE, _explain(one.error))])]
    selections: list[Selection | None] = []
    for subset, errors in zip(subsets, image_errors, strict=True):
        labels = subset.annotations
        found = chain(map(to_problem, errors.values()), find_label_problems(labels), find_flip_problems(labels))
        findings += summarise(subset.name, found)
        selection = select(subset.name, labels, image_errors=errors, scale_limit=subset.scale_limit)
        selections.append(selection if subset.is_trained else None)
    findings += summarise("all subsets", find_duplicates(fingerprints))
    verdicts = []
    unread_sources = [one.source for one in unread]
    for source in dict.fromkeys([*unread_sources, *(subset.source for subset in subsets)]):
        used = [one for subset, one in zip(subsets, selections, strict=True) if one and subset.source == source]
        problems = [] if source in unread_sources else _find_unusable(used)
        findings += summarise(source, problems)
        is_usable = not problems and source not in unread_sources
        verdicts.append(Verdict(source, is_usable, sum(one.persons for one in used), sum(one.images for one in used)))
    statistics = tuple(label_statistics(subset) for subset in subsets)
    return DataReport(tuple(findings), statistics, tuple(selections), tuple(verdicts))


def _find_unusable(selections: Sequence[Selection]) -> list[Problem]:
    """Returns why a training on these image sets would not start."""
    try:
        check_selections(selections)
    except AnnotationError as error:
        return [Problem(NOTHING_LEARNED, _explain(error))]
    return []


def _explain(error: E2PoseError) -> str:
    return error.message if error.hint in ("", CORRECT_OMITTED) else f"{error.message}; hint: {error.hint}"


def _readers(
    path: Path | RecipeSets, images: Path | None, entries: Mapping[str, object]
) -> list[tuple[str, Callable[[], list[Subset]]]]:
    """Returns the name of each image set, and a function that reads it; `entries` are those of sets without recipe."""
    if isinstance(path, RecipeSets):
        return [(config.path, partial(_read_recipe_set, config, path)) for config in path.sets]
    if not path.exists():
        raise OptionError(
            f"'{path}' does not exist",
            "use the labels of an annotation tool (a folder or file, see docs/guides/data.md) or a recipe",
        )
    config = {"path": path.name, **entries}
    if find_labels(path) is not None:
        config |= {"images": str(images.absolute())} if images else {}
        return [(str(path), partial(_read, str(path), config, path.parent))]
    yaml = path if path.suffix in (".yaml", ".yml") else path / "data.yaml"
    if yaml.is_file() and not (path / "annotations.json").is_file():
        return _yolo_readers(str(path), yaml, entries)
    if path.is_file():
        beside = path.parent / "images"
        folder = images or (beside if beside.is_dir() else path.parent)
        config |= {"path": "", "annotations": path.name, "images": str(folder.absolute())}
    return [(str(path), partial(_read, str(path), config, path.parent))]


def _yolo_readers(name: str, yaml: Path, entries: Mapping[str, object]) -> list[tuple[str, Callable[[], list[Subset]]]]:
    """Returns a function for each split, or one that raises the error of the file."""
    category = entries["category"]
    try:
        splits = read_data_yaml(yaml, category=category).splits  # type: ignore[arg-type]
    except E2PoseError:
        splits = {"train": ()}
    folder = yaml.absolute().parent.name
    return [
        (
            f"{folder}: {split}" if len(splits) > 1 else name,
            partial(_read, f"{folder}: {split}", {"path": yaml.name, "split": split, **entries}, yaml.parent),
        )
        for split in splits
    ]


def _read(name: str, entries: Mapping[str, object], root: Path) -> list[Subset]:
    folder, annotations = read_set(DataSetConfig.model_validate(entries), root)
    limit = partial(largest_scale, input_size_hw=DEFAULT_INPUT_SIZE_HW, fit=DEFAULT_FIT, augment=AugmentConfig())
    return [Subset(name, folder, annotations, split=name, source=name, scale_limit=limit)]


def _read_recipe_set(config: DataSetConfig, recipe: RecipeSets) -> list[Subset]:
    schema = resolve_schema(recipe.schema_name, recipe.sets, recipe.root)
    opened = open_set(config, recipe.root, schema)
    training = Subset(
        config.path,
        opened.folder,
        opened.training,
        split="training",
        source=recipe.name,
        augment=recipe.augment,
        scale_limit=partial(largest_scale, input_size_hw=recipe.input_size_hw, fit=recipe.fit, augment=recipe.augment),
    )
    held_out = replace(
        training,
        name=f"{config.path}: held out",
        annotations=opened.held_out,
        split="held out",
        is_trained=False,
    )
    return [training, held_out] if opened.held_out.images else [training]
