"""A folder that shows what an evaluation has found out: charts, and the images with the worst poses."""

from __future__ import annotations

from pathlib import Path

from e2pose.core.annotations import ImageAnnotation
from e2pose.core.errors import OutputError
from e2pose.core.files import atomic_path, check_folder
from e2pose.core.poses import Poses
from e2pose.evaluation.charts import check_matplotlib, write_calibration, write_precision_recall
from e2pose.evaluation.evaluate import EvaluationResult
from e2pose.evaluation.matching import MAX_PERSONS, Matching, match
from e2pose.evaluation.side_by_side import draw_comparison
from e2pose.sinks.images import encode_image
from e2pose.sources.images import read_image

WORST = 20
"""The report shows so many images."""


def check_report(folder: Path) -> None:
    """Checks that a report can be written, before the evaluation that it is about.

    Raises:
        OutputError: The folder is not empty or cannot be written.
        MissingExtraError: matplotlib is not installed.
    """
    check_matplotlib()
    check_folder(folder)
    if folder.exists() and any(folder.iterdir()):
        raise OutputError(f"the folder '{folder}' is not empty", "give the report a folder of its own")


def write_report(folder: Path, result: EvaluationResult, images_folder: Path | None = None) -> None:
    """Writes `precision_recall.png`, `calibration.png` and, in `worst/`, annotated and found people side by side.

    Args:
        folder: Where to; made if it is missing.
        result: What to show.
        images_folder: Where the images are; None to leave out the worst ones.

    Raises:
        OutputError: A file cannot be written.
        InputError: An image cannot be read.
        MissingExtraError: matplotlib is not installed.
    """
    write_precision_recall(folder / "precision_recall.png", result.metrics)
    write_calibration(folder / "calibration.png", result.calibration)
    if images_folder is None:
        return
    for rank, (image, poses, matching) in enumerate(worst_images(result)[:WORST], start=1):
        drawn = draw_comparison(read_image(images_folder / image.file_name), image, poses, matching)
        path = folder / "worst" / f"{rank:02d}-{Path(image.file_name).stem}.jpg"
        with atomic_path(path) as temporary:
            temporary.write_bytes(encode_image(drawn, path))


def worst_images(result: EvaluationResult) -> list[tuple[ImageAnnotation, Poses, Matching]]:
    """The images with any fault, the worst first, with the poses above the threshold and whom they show.

    Each missed person and each wrong pose is a fault, and each right pose is one in so far as its OKS falls short of 1.
    """
    compared = []
    for image in result.dataset.images:
        poses = result.found[image.id][:MAX_PERSONS]
        poses = poses[poses.scores >= result.threshold]
        compared.append((image, poses, match(image, poses)))
    return sorted((one for one in compared if _faults(one[2]) > 0), key=lambda one: _faults(one[2]), reverse=True)


def _faults(matching: Matching) -> float:
    inexact = float((1 - matching.similarities[matching.right]).sum())
    return len(matching.missed) + int(matching.wrong.sum()) + inexact
