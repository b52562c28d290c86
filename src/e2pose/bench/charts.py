"""A comparison as small pictures: speed against accuracy, and latency against people."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from e2pose.bench.report import Comparison, marks
from e2pose.evaluation.charts import BLUES, INK, new_figure, save_figure, style_axes

_OURS, _THEIRS = "#d95f02", BLUES[1]
_LINES = ("#d95f02", "#2171b5", "#1b9e77", "#7570b3", "#e6ab02", "#666666", "#e7298a", "#66a61e")
_AWAY = (11, -11, 21, -21, 31, -31)  # points up or down from a point to its name
_MARKERS = "osD^vPX*"


def write_speed_against_ap(path: Path, comparison: Comparison) -> bool:
    """Draws each peer where its speed and its average precision meet.

    Returns:
        False if there is nothing to draw, and nothing has been written.

    Raises:
        MissingExtraError: matplotlib is not installed.
        OutputError: The file cannot be written.
    """
    found = [
        (name, one.run, 100 * one.ap)
        for name, one in zip(comparison.names, comparison.results, strict=True)
        if one.ap is not None and one.ap >= 0
    ]
    if not found:
        return False
    figure = new_figure()
    axes = figure.subplots()
    for _, run, ap in found:
        ours = run.request.script.needs.environment == "this"
        fps = run.timings.fps
        axes.errorbar(fps.median, ap, xerr=fps.spread, fmt="o", color=_OURS if ours else _THEIRS, markersize=6)
    style_axes(axes, f"{comparison.pace.threads} threads, {comparison.machine.cpu}", "AP")
    _plain_log(axes, "x", [run.timings.fps.median for _, run, _ in found])
    axes.set(xlabel="frames per second, from pixels to poses", ylim=(0, 1.15 * max(5, *(ap for *_, ap in found))))
    _label(axes, {name: (run.timings.fps.median, ap) for name, run, ap in found})
    save_figure(figure, path)
    return True


def write_latency_against_people(path: Path, comparison: Comparison) -> bool:
    """Draws how long each peer takes for scenes with more and more people.

    Returns:
        False if there are no scenes, and nothing has been written.

    Raises:
        MissingExtraError: matplotlib is not installed.
        OutputError: The file cannot be written.
    """
    lines = {
        name + marks(one): one.run.timings.people_ms
        for name, one in zip(comparison.names, comparison.results, strict=True)
        if one.run.timings.scenes_ms
    }
    if not lines:
        return False
    figure = new_figure()
    axes = figure.subplots()
    for number, (name, times) in enumerate(lines.items()):
        colour, marker = _LINES[number % len(_LINES)], _MARKERS[number % len(_MARKERS)]
        medians = [one.median for one in times.values()]
        axes.plot(list(times), medians, color=colour, marker=marker, markersize=5, linewidth=1.6, label=name)
    style_axes(axes, f"{comparison.pace.threads} threads, {comparison.machine.cpu}", "milliseconds, from pixels to poses")
    _plain_log(axes, "y", [one.median for times in lines.values() for one in times.values()])
    axes.set(xlabel="people in the frame", xticks=list(next(iter(lines.values()))))
    figure.legend(frameon=False, fontsize=7, labelcolor=INK, loc="outside lower center", ncols=2)
    save_figure(figure, path)
    return True


def _label(axes: Any, points: Mapping[str, tuple[float, float]]) -> None:  # noqa: ANN401
    """Writes the names of points beside them, as near as no other name or point is in the way."""
    axes.figure.draw_without_rendering()  # only then axes lie where they will
    box = import_module("matplotlib.transforms").Bbox
    taken = [box([[x - 5, y - 5], [x + 5, y + 5]]) for x, y in axes.transData.transform(list(points.values()))]
    for name, point in points.items():
        for away in _AWAY:
            text = axes.annotate(
                *(name, point, (0, away)), textcoords="offset points", ha="center", va="center", fontsize=7, color=INK
            )
            extent = text.get_window_extent()
            if away == _AWAY[-1] or not any(extent.overlaps(other) for other in taken):
                break
            text.remove()
        taken.append(extent)


def _plain_log(axes: Any, which: str, values: list[float]) -> None:  # noqa: ANN401 - matplotlib is imported elsewhere
    """A logarithmic axis with room at both ends, and numbers as people write them."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    getattr(axes, f"set_{which}scale")("log")
    getattr(axes, f"set_{which}lim")(min(values) / 1.6, max(values) * 2.4)
    axis.set_major_formatter("{x:g}")
    axis.set_minor_locator(import_module("matplotlib.ticker").LogLocator(subs=(2, 3, 5)))
    axis.set_minor_formatter("{x:g}")
    axes.tick_params(axis=which, which="minor", labelsize=6, length=0, colors=INK)
