"""Charts of a comparison: average precision against speed, and latency against the number of persons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from e2pose.bench.report import Comparison, marks
from e2pose.evaluation.charts import BLUES, INK, new_figure, save_figure, style_axes

_OURS, _OTHERS = "#d95f02", BLUES[1]
_COLOURS = ("#d95f02", "#2171b5", "#1b9e77", "#7570b3", "#e6ab02", "#666666", "#e7298a", "#66a61e")
_MARKERS = "osD^vPX*"
_LABEL_OFFSETS = (11, -11, 21, -21, 31, -31)  # vertical, in points


def write_ap_against_speed(path: Path, comparison: Comparison) -> bool:
    """Draws the average precision of each peer against its speed; returns False if there is none to draw."""
    points: dict[str, tuple[float, float]] = {}
    figure = new_figure()
    axes = figure.subplots()
    for name, result in comparison.named_results:
        if result.ap is not None and result.ap >= 0:
            colour = _OURS if result.request.script.needs.environment == "this" else _OTHERS
            fps = result.timings.fps
            points[name] = fps.median, 100 * result.ap
            axes.errorbar(*points[name], xerr=fps.half_range, fmt="o", color=colour, markersize=6)
    if not points:
        return False
    speeds, precisions = zip(*points.values(), strict=True)
    style_axes(axes, _title(comparison), "AP")
    _scale_logarithmically(axes, "x", speeds)
    axes.set(xlabel="frames per second, from pixels to poses", ylim=(0, 1.15 * max(5, *precisions)))
    _label_points(axes, points)
    save_figure(figure, path)
    return True


def write_latency_against_persons(path: Path, comparison: Comparison) -> bool:
    """Draws the latency of each peer against the number of persons; returns False if there are no scenes."""
    if not comparison.has_scenes:
        return False
    figure = new_figure()
    axes = figure.subplots()
    medians: list[float] = []
    for number, (name, result) in enumerate(comparison.named_results):
        latency_ms = {key: value.median for key, value in result.timings.scene_latency_ms.items()}
        style = {"color": _COLOURS[number % len(_COLOURS)], "marker": _MARKERS[number % len(_MARKERS)]}
        axes.plot(
            *zip(*latency_ms.items(), strict=True), **style, markersize=5, linewidth=1.6, label=name + marks(result)
        )
        medians += latency_ms.values()
        axes.set(xticks=list(latency_ms))
    style_axes(axes, _title(comparison), "milliseconds, from pixels to poses")
    _scale_logarithmically(axes, "y", medians)
    axes.set(xlabel="persons in the frame")
    figure.legend(frameon=False, fontsize=7, labelcolor=INK, loc="outside lower center", ncols=2)
    save_figure(figure, path)
    return True


def _title(comparison: Comparison) -> str:
    return f"{comparison.options.threads} threads, {comparison.machine.cpu}"


def _label_points(axes: Any, points: Mapping[str, tuple[float, float]]) -> None:  # noqa: ANN401
    """Writes names next to points, at the closest offset that overlaps no other label or point."""
    axes.figure.draw_without_rendering()  # positions the axes
    box = import_module("matplotlib.transforms").Bbox
    occupied = [box([[x - 5, y - 5], [x + 5, y + 5]]) for x, y in axes.transData.transform(list(points.values()))]
    style = {"ha": "center", "va": "center", "fontsize": 7, "color": INK}
    for name, point in points.items():
        for offset in _LABEL_OFFSETS:
            text = axes.annotate(name, point, (0, offset), textcoords="offset points", **style)
            extent = text.get_window_extent()
            if offset == _LABEL_OFFSETS[-1] or not any(extent.overlaps(other) for other in occupied):
                break
            text.remove()
        occupied.append(extent)


def _scale_logarithmically(axes: Any, which: str, values: Sequence[float]) -> None:  # noqa: ANN401
    """Makes an axis logarithmic, with margins at both ends and decimal tick labels."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    getattr(axes, f"set_{which}scale")("log")
    getattr(axes, f"set_{which}lim")(min(values) / 1.6, max(values) * 2.4)
    axis.set_major_formatter("{x:g}")
    axis.set_minor_locator(import_module("matplotlib.ticker").LogLocator(subs=(2, 3, 5)))
    axis.set_minor_formatter("{x:g}")
    axes.tick_params(axis=which, which="minor", labelsize=6, length=0, colors=INK)
