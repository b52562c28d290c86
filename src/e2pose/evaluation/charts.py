"""Charts of precision-recall curves and calibration, and the style of all charts."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from e2pose.core.errors import MissingExtraError
from e2pose.core.files import atomic_path
from e2pose.evaluation.calibration import Calibration
from e2pose.evaluation.metrics import OKS_THRESHOLDS, RECALLS, KeypointMetrics

_SIZE_INCHES = (5.0, 4.0)
_DPI = 160
INK, PALE = "#333333", "#d9d9d9"
BLUES = ("#08306b", "#2171b5", "#4292c6", "#6baed6", "#9ecae1")


def write_precision_recall(path: Path, metrics: KeypointMetrics) -> None:
    """Draws the precision-recall curve of every second OKS threshold; stricter thresholds are lighter."""
    figure = new_figure()
    axes = figure.subplots()
    for index, colour in zip(range(0, len(OKS_THRESHOLDS), 2), BLUES, strict=True):
        precision = metrics.precision[index]
        reached = precision > 0  # precision is 0 at recalls that no score threshold reaches
        label = f"OKS {OKS_THRESHOLDS[index]:.1f}:  AP {100 * max(precision.mean(), 0):.1f}"
        axes.plot(RECALLS[reached], precision[reached], color=colour, linewidth=1.8, label=label)
    style_axes(axes, f"AP {100 * metrics.ap:.1f}" if metrics.ap >= 0 else "no annotated persons", "precision")
    axes.set(xlabel="recall", xlim=(0, 1.01), ylim=(0, 1.02))
    axes.legend(frameon=False, fontsize=8, labelcolor=INK, loc="best")
    save_figure(figure, path)


def write_calibration(path: Path, calibration: Calibration) -> None:
    """Draws precision against score, and the number of poses by score."""
    figure = new_figure()
    reliability, counts = figure.subplots(2, sharex=True, height_ratios=(3, 1))
    filled = [part for part in calibration.bins if part.num_poses]
    reliability.plot([0, 1], [0, 1], color=PALE, linewidth=1.4, zorder=1)
    scores, precisions = [part.mean_score for part in filled], [part.precision for part in filled]
    reliability.plot(scores, precisions, "o-", color=BLUES[1], linewidth=1.8, markersize=5)
    style_axes(reliability, f"expected calibration error {calibration.error:.3f}", "precision")
    reliability.set(ylim=(-0.02, 1.02))
    centers = [(part.low + part.high) / 2 for part in calibration.bins]
    counts.bar(centers, [part.num_poses for part in calibration.bins], width=0.085, color=BLUES[3])
    style_axes(counts, "", "poses")
    counts.set(xlabel="score", xlim=(0, 1))
    if filled:
        counts.set_yscale("log", nonpositive="clip")
        counts.set_ylim(bottom=0.8)
    save_figure(figure, path)


def new_figure() -> Any:  # noqa: ANN401 - matplotlib is imported lazily
    """Returns an empty figure. Called before a long computation, it checks that matplotlib is installed.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        module = import_module("matplotlib.figure")
    except ImportError as error:
        raise MissingExtraError("matplotlib", "eval") from error
    return module.Figure(figsize=_SIZE_INCHES, dpi=_DPI, layout="constrained")


def style_axes(axes: Any, title: str, ylabel: str) -> None:  # noqa: ANN401
    """Sets title and y label of axes, and the style of all charts."""
    axes.set_title(title, fontsize=10, color=INK, loc="left")
    axes.set_ylabel(ylabel)
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
