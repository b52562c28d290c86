"""`e2pose doctor`: checks of the machine and of labelled images."""

from __future__ import annotations

import json
import textwrap
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from e2pose.cli.machine import machine
from e2pose.cli.terminal import Progress, print_message
from e2pose.core.errors import MissingExtraError, OptionError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from jaxtyping import UInt8

    from e2pose.data.inspection.findings import Finding, Subset
    from e2pose.data.inspection.inspect import DataReport, RecipeSets
    from e2pose.data.inspection.statistics import Statistics
    from e2pose.data.selection import Selection

doctor = App(name="doctor", help_format="markdown")
doctor.default(machine)


@doctor.command
def data(
    paths: list[Path],
    /,
    *,
    images: Path | None = None,
    category: tuple[str, ...] = (),
    schema: str | None = None,
    root: Annotated[Path | None, Parameter(name="--data")] = None,
    sheet: Path | None = None,
    augmented: Path | None = None,
    count: int = 48,
    json_path: Annotated[Path | None, Parameter(name="--json")] = None,
    quiet: Annotated[bool, Parameter(name=("--quiet", "-q"))] = False,
) -> int:
    """Check labelled images before a training.

    The exit code is 1 if there are errors, and 0 if there are only warnings.

    Args:
        paths: Labels of COCO, YOLO, DeepLabCut, SLEAP, CVAT, Label Studio or LabelMe (folders or files), or recipes.
            Duplicate images are also searched across paths.
        images: Folder of the image files of a file of labels; by default `images` beside it, or the folder of the file.
        category: Name or id of the category of folders and files to check, where more than one has keypoints; can be
            repeated for categories with the same keypoints, "*" selects all.
        schema: Name or TOML file of a schema that names the keypoints of folders and files without names.
        root: Folder of the image sets of a recipe; by default `data.root` of the recipe.
        sheet: Draw labelled images into this file.
        augmented: Draw the first augmented training images of the recipe into this file.
        count: Maximum number of images in a drawing (default: 48).
        json_path: Write findings and statistics to this file.
        quiet: Hide the progress.
    """
    from e2pose.core.files import atomic_path
    from e2pose.data.inspection.inspect import inspect, open_subsets
    from e2pose.data.inspection.label_sheet import draw_label_sheet

    if count < 1:
        raise OptionError(f"--count must be at least 1, not {count}", "use a larger number; the default is 48")
    _check_outputs(drawings=[path for path in (sheet, augmented) if path], json_path=json_path, inputs=paths)
    recipes = [path for path in paths if path.suffix == ".toml"]
    if augmented is not None and len(recipes) != 1:
        raise OptionError(
            f"--augmented needs exactly one recipe, not {len(recipes)}", "add the path of one recipe (.toml)"
        )
    if recipes and (category or schema):
        raise OptionError(
            f"--category and --schema do not apply to the recipe '{recipes[0]}'",
            "set category and schema of its image sets in the recipe",
        )
    sources = [_recipe_sets(path, root) if path.suffix == ".toml" else path for path in paths]
    subsets, unread = open_subsets(sources, images=images, category=category, schema_name=schema)
    with Progress(shown=not quiet) as progress:
        report = inspect(subsets, unread, progress=progress.advance)
    print(_format_report(report, subsets))
    if json_path is not None:
        with atomic_path(json_path) as temporary:
            temporary.write_text(json.dumps(asdict(report), indent=2) + "\n", encoding="utf-8")
    if sheet is not None:
        _write_image(sheet, draw_label_sheet(subsets, count))
    if augmented is not None:
        _write_image(augmented, _draw_augmented(recipes[0], root, count))
    return int(report.has_errors)


def _check_outputs(drawings: list[Path], json_path: Path | None, inputs: list[Path]) -> None:
    """Checks, before any image is read, that all outputs can be written and that none is an input."""
    from e2pose.core.files import check_target
    from e2pose.sinks.images import IMAGE_SUFFIXES, check_not_an_input

    for path in drawings:
        if path.suffix.lower() not in IMAGE_SUFFIXES:
            raise OptionError(
                f"'{path}' is not an image file: its suffix is not supported",
                f"use one of: {', '.join(sorted(IMAGE_SUFFIXES))}",
            )
    for path in [*drawings, *([json_path] if json_path else [])]:
        check_target(path)
        check_not_an_input(path, [*inputs, *(folder / "annotations.json" for folder in inputs)])


def _recipe_sets(path: Path, root: Path | None) -> RecipeSets:
    from e2pose.data.inspection.inspect import RecipeSets
    from e2pose.training.recipe import load_recipe

    recipe = load_recipe(path)
    return RecipeSets(
        name=str(path),
        sets=recipe.data.sets,
        schema_name=recipe.schema_name,
        root=root or Path(recipe.data.root),
        input_size_hw=recipe.input_size_hw,
        fit=recipe.fit,
        augment=recipe.augment,
    )


def _draw_augmented(recipe: Path, root: Path | None, count: int) -> UInt8[np.ndarray, "h w 3"]:
    try:
        from e2pose.training.input_sheet import input_sheet
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "torch", "train") from error
    return input_sheet(recipe, root, count)


def _write_image(path: Path, image: UInt8[np.ndarray, "h w 3"]) -> None:
    from e2pose.core.files import atomic_path
    from e2pose.sinks.images import encode_image

    with atomic_path(path) as temporary:
        temporary.write_bytes(encode_image(image, path))
    print_message(f"written to {path}")


def _format_report(report: DataReport, subsets: Sequence[Subset]) -> str:
    """Returns the statistics of each subset, then the findings, then a summary."""
    from e2pose.data.config import DEFAULT_INPUT_SIZE_HW

    lines = []
    for statistics, selection, subset in zip(report.statistics, report.selections, subsets, strict=True):
        lines += [*_format_statistics(statistics), *_format_use(selection, subset), ""]
    for finding in report.findings:
        lines += _format_finding(finding)
    if any(_is_limited_by_default(one, subset) for one, subset in zip(report.selections, subsets, strict=True)):
        height, width = DEFAULT_INPUT_SIZE_HW
        lines += [
            f"without a recipe, the limit on the size of persons is that of the input size {height}x{width}",
            "",
        ]
    for verdict in report.verdicts:
        learned = f"usable for training, learned persons: {verdict.persons}, used images: {verdict.images}"
        lines.append(f"{verdict.source}: {learned if verdict.usable else 'not usable for training'}")
    errors = sum(finding.check.is_error for finding in report.findings)
    return "\n".join([*lines, f"kinds of errors: {errors}, kinds of warnings: {len(report.findings) - errors}"])


def _is_limited_by_default(selection: Selection | None, subset: Subset) -> bool:
    """Returns whether persons are omitted by the limit on their size, of a set that belongs to no recipe."""
    from e2pose.data.selection import TOO_SMALL

    omitted = () if selection is None else selection.omitted
    return subset.source == subset.name and any(omission.reason == TOO_SMALL for omission in omitted)


def _format_use(selection: Selection | None, subset: Subset) -> list[str]:
    """Returns what a training uses of a subset and what it omits, as `e2pose train` reports it."""
    from e2pose.data.mirroring import describe_mirroring

    if selection is None:
        return []
    lines = [f"learned persons: {selection.persons}, used images: {selection.images}", *map(str, selection.omitted)]
    lines += [*subset.annotations.notes, *describe_mirroring(subset.augment, subset.annotations.schema)]
    return [f"  {'' if index else 'training':<10}{line}" for index, line in enumerate(lines)]


def _format_statistics(statistics: Statistics) -> list[str]:
    rows = {
        "images": f"{statistics.images} ({statistics.empty_images} without persons, "
        f"{statistics.non_exhaustive_images} not exhaustively labelled)",
        "persons": f"{statistics.persons} ({statistics.persons_per_image:.1f} per image, "
        f"at most {statistics.max_persons_per_image})",
        "ignored": f"{statistics.persons_without_keypoints} persons without keypoints, {statistics.crowds} crowds, "
        f"{statistics.ignored_regions} regions",
    }
    if statistics.sizes:
        small, median, large = (f"{size:.0%}" for size in statistics.sizes)
        rows["sizes"] = f"{small} to {large} of the image's longer side, median {median}"
    shares = zip(statistics.labelled.items(), statistics.visible.values(), strict=True)
    rows["labelled"] = "(visible) " + ", ".join(
        f"{name} {labelled:.0%} ({visible:.0%})" if labelled is not None and visible is not None else f"{name} -"
        for (name, labelled), visible in shares
    )
    wrapped = {name: textwrap.wrap(value, 100, break_on_hyphens=False) for name, value in rows.items()}
    return [
        statistics.subset,
        *(f"  {name if not i else '':<10}{line}" for name, lines in wrapped.items() for i, line in enumerate(lines)),
    ]


def _format_finding(finding: Finding) -> list[str]:
    kind = "error" if finding.check.is_error else "warning"
    more = finding.count - len(finding.examples)
    return [
        f"{kind}: {finding.subset}: {finding.check.title} ({finding.count})",
        f"  {finding.check.advice}",
        *(f"  - {example}" for example in finding.examples),
        *([f"  - and {more} more"] if more else []),
        "",
    ]
