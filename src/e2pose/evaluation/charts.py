"""Precision-recall curves and calibration as small pictures, and the looks of all charts."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from e2pose.core.errors import MissingExtraError
from e2pose.core.files import atomic_path
from e2pose.evaluation.calibration import Calibration
from e2pose.evaluation.metrics import OKS_THRESHOLDS, RECALLS, KeypointMetrics

_INCHES = (5.0, 4.0)
_DOTS_PER_INCH = 160
INK, PALE = "#333333", "#d9d9d9"
BLUES = ("#08306b", "#2171b5", "#4292c6", "#6baed6", "#9ecae1")  # dark to light: the stricter, the lighter


def check_matplotlib() -> None:
    """Checks that charts can be drawn.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    new_figure()


def write_precision_recall(path: Path, metrics: KeypointMetrics) -> None:
    """Draws the precision that can be had at each recall, for every other OKS threshold.

    Raises:
        MissingExtraError: matplotlib is not installed.
        OutputError: The file cannot be written.
    """
    figure = new_figure()
    axes = figure.subplots()
    for index, colour in zip(range(0, len(OKS_THRESHOLDS), 2), BLUES, strict=True):
        precision = metrics.precision[index]
        reached = precision > 0  # the rest is where no threshold leads to
        label = f"OKS {OKS_THRESHOLDS[index]:.1f}:  AP {100 * max(precision.mean(), 0):.1f}"
        axes.plot(RECALLS[reached], precision[reached], color=colour, linewidth=1.8, label=label)
    tidy(axes, f"AP {100 * metrics.ap:.1f}" if metrics.ap >= 0 else "nobody is annotated", "precision")
    axes.set(xlabel="recall", xlim=(0, 1.01), ylim=(0, 1.02))
    axes.legend(frameon=False, fontsize=8, labelcolor=INK, loc="best")
    save_figure(figure, path)


def write_calibration(path: Path, calibration: Calibration) -> None:
    """Draws which share of the poses with similar scores is right, and how many such poses there are.

    Raises:
        MissingExtraError: matplotlib is not installed.
        OutputError: The file cannot be written.
    """
    figure = new_figure()
    shares, counts = figure.subplots(2, sharex=True, height_ratios=(3, 1))
    filled = [one for one in calibration.bins if one.poses]
    shares.plot([0, 1], [0, 1], color=PALE, linewidth=1.4, zorder=1)
    shares.plot(
        [one.mean_score for one in filled],
        [one.precision for one in filled],
        "o-",
        color=BLUES[1],
        linewidth=1.8,
        markersize=5,
    )
    tidy(shares, f"expected calibration error {calibration.error:.3f}", "share of right poses")
    shares.set(ylim=(-0.02, 1.02))
    centres = [(one.low + one.high) / 2 for one in calibration.bins]
    counts.bar(centres, [one.poses for one in calibration.bins], width=0.085, color=BLUES[3])
    tidy(counts, "", "poses")
    counts.set(xlabel="score", xlim=(0, 1))
    if filled:
        counts.set_yscale("log", nonpositive="clip")
        counts.set_ylim(bottom=0.8)
    save_figure(figure, path)


def new_figure() -> Any:  # noqa: ANN401 - matplotlib is imported here only
    """An empty figure of a small picture's size.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        module = import_module("matplotlib.figure")
    except ImportError as error:
        raise MissingExtraError("matplotlib", "eval") from error
    return module.Figure(figsize=_INCHES, dpi=_DOTS_PER_INCH, layout="constrained")


def tidy(axes: Any, title: str, height: str) -> None:  # noqa: ANN401
    """Gives axes a title, a name for the height, and the looks of all charts."""
    axes.set_title(title, fontsize=10, color=INK, loc="left")
    axes.set_ylabel(height)
    axes.grid(color=PALE, linewidth=0.5)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, labelsize=8, length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set(fontsize=9, color=INK)


def save_figure(figure: Any, path: Path) -> None:  # noqa: ANN401
    """Writes a figure as PNG.

    Raises:
        OutputError: The file cannot be written.
    """
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")
