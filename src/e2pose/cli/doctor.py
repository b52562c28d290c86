"""`e2pose doctor`: what is wrong, before it costs time."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from e2pose.cli.machine import machine
from e2pose.cli.terminal import Progress, print_message
from e2pose.core.errors import MissingExtraError, OptionError

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import UInt8

    from e2pose.data.inspection.findings import Finding
    from e2pose.data.inspection.inspect import DataReport
    from e2pose.data.inspection.statistics import Statistics

doctor = App(name="doctor", help_format="markdown")
doctor.default(machine)


@doctor.command
def data(
    paths: list[Path],
    /,
    *,
    images: Path | None = None,
    root: Annotated[Path | None, Parameter(name="--data")] = None,
    sheet: Path | None = None,
    canvases: Path | None = None,
    count: int = 48,
    json_path: Annotated[Path | None, Parameter(name="--json")] = None,
    quiet: Annotated[bool, Parameter(name=("--quiet", "-q"))] = False,
) -> int:
    """Check labelled pictures before a training.

    The exit code is 1 if there are errors, and 0 if there are only warnings.

    Args:
        paths: Folders with `annotations.json` or `data.yaml`, such files themselves, or recipes. Pictures that are in
            several of them are reported.
        images: The folder that the file names in a `.json` file start from; if not given, `images` beside it.
        root: Folder of the image sets of a recipe; if not given, the recipe's own.
        sheet: Draw labelled pictures into this file.
        canvases: Draw what the training of a recipe will see into this file.
        count: At most so many pictures in a drawing.
        json_path: Write everything that was found out to this file.
        quiet: Show no progress.
    """
    from e2pose.core.files import atomic_path
    from e2pose.data.inspection.inspect import DataReport, inspect, open_parts
    from e2pose.data.inspection.label_sheet import label_sheet

    if count < 1:
        raise OptionError(f"--count must be at least 1, not {count}", "48 is the default")
    _check_outputs(pictures=[path for path in (sheet, canvases) if path], numbers=json_path, inputs=paths)
    recipe = _only_recipe(paths) if canvases is not None else None
    parts, unusable = open_parts(paths, images=images, root=root)
    with Progress(shown=not quiet) as progress:
        report = inspect(parts, progress=progress.advance)
    report = DataReport((*unusable, *report.findings), report.statistics)
    print(_table(report))
    if json_path is not None:
        with atomic_path(json_path) as temporary:
            temporary.write_text(json.dumps(report.to_record(), indent=2) + "\n", encoding="utf-8")
    if sheet is not None:
        _write(sheet, label_sheet(parts, count))
    if canvases is not None and recipe is not None:
        _write(canvases, _canvas_sheet(recipe, root, count))
    return int(report.has_errors)


def _check_outputs(pictures: list[Path], numbers: Path | None, inputs: list[Path]) -> None:
    """Finds outputs that cannot be written, before all pictures are read.

    Raises:
        OptionError: The suffix of one is that of no picture.
        OutputError: One cannot be written, or is an input.
    """
    from e2pose.core.files import check_target
    from e2pose.sinks.images import IMAGE_SUFFIXES, check_not_an_input

    for path in pictures:
        if path.suffix.lower() not in IMAGE_SUFFIXES:
            raise OptionError(
                f"'{path}' has not the suffix of a picture",
                f"end it with one of: {', '.join(sorted(IMAGE_SUFFIXES))}",
            )
    for path in [*pictures, *([numbers] if numbers else [])]:
        check_target(path)
        check_not_an_input(path, [*inputs, *(folder / "annotations.json" for folder in inputs)])


def _only_recipe(paths: list[Path]) -> Path:
    recipes = [path for path in paths if path.suffix == ".toml"]
    if len(recipes) != 1:
        raise OptionError(
            f"--canvases draws what a training will see, but there are {len(recipes)} recipes", "give one recipe"
        )
    return recipes[0]


def _canvas_sheet(recipe: Path, root: Path | None, count: int) -> UInt8[np.ndarray, "h w 3"]:
    try:
        from e2pose.training.input_sheet import input_sheet
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "torch", "train") from error
    return input_sheet(recipe, root, count)


def _write(path: Path, picture: UInt8[np.ndarray, "h w 3"]) -> None:
    from e2pose.core.files import atomic_path
    from e2pose.sinks.images import encode_image

    with atomic_path(path) as temporary:
        temporary.write_bytes(encode_image(picture, path))
    print_message(f"written to {path}")


def _table(report: DataReport) -> str:
    """Everything for people: numbers of each part, then what is wrong. In brackets: the share that is not hidden."""
    lines = [line for numbers in report.statistics for line in (*_numbers(numbers), "")]
    for finding in report.findings:
        lines += _finding(finding)
    errors = sum(finding.is_error for finding in report.findings)
    warnings = len(report.findings) - errors
    return "\n".join([*lines, f"{errors} kinds of errors, {warnings} kinds of warnings"])


def _numbers(numbers: Statistics) -> list[str]:
    rows = {
        "images": f"{numbers.images} ({numbers.empty_images} without people, {numbers.not_exhaustive} in which not "
        "everybody is labelled)",
        "people": f"{numbers.people} ({numbers.people_per_image:.1f} per image, at most {numbers.most_people})",
        "ignored": f"{numbers.people_without_keypoints} people without keypoints, {numbers.crowds} crowds, "
        f"{numbers.ignored} regions",
    }
    if numbers.sizes:
        small, median, large = (f"{size:.0%}" for size in numbers.sizes)
        rows["sizes"] = f"{small} to {large} of the picture's longer side, median {median}"
    shares = zip(numbers.labelled.items(), numbers.visible.values(), strict=True)
    rows["labelled"] = ", ".join(
        f"{name} {labelled:.0%} ({visible:.0%})" if labelled is not None and visible is not None else f"{name} -"
        for (name, labelled), visible in shares
    )
    wrapped = {name: textwrap.wrap(value, 100, break_on_hyphens=False) for name, value in rows.items()}
    return [
        numbers.part,
        *(f"  {name if not i else '':<10}{line}" for name, lines in wrapped.items() for i, line in enumerate(lines)),
    ]


def _finding(finding: Finding) -> list[str]:
    kind = "error" if finding.is_error else "warning"
    more = finding.count - len(finding.examples)
    return [
        f"{kind}: {finding.part}: {finding.check} ({finding.count})",
        *(f"  {example}" for example in finding.examples),
        *([f"  and {more} more"] if more else []),
        "",
    ]
