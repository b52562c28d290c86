"""The log of a run: JSON lines and TensorBoard events, a CSV table and curves."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from e2pose.core.errors import OutputError
from e2pose.core.files import atomic_path, write_error

if TYPE_CHECKING:
    from tensorboardX import SummaryWriter

LINES = "log.jsonl"
TABLE = "log.csv"
CURVES = "curves.png"
TENSORBOARD = "tensorboard"


class RunLog:
    """Appends records to `log.jsonl` and, if tensorboardX is installed, to TensorBoard's event files.

    Records of steps after `step`, left by an interrupted run, are removed. All methods raise `OutputError` if a file
    cannot be written.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self._folder = folder
        path = folder / LINES
        kept = [record for record in read_lines(path) if record["step"] <= step]
        with atomic_path(path) as temporary:
            temporary.write_text("".join(f"{json.dumps(record)}\n" for record in kept), encoding="utf-8")
        self._file = path.open("a", encoding="utf-8")
        self._board = _open_board(folder / TENSORBOARD, step)

    def write(self, record: Mapping[str, float]) -> None:
        """Writes a record, which must contain `step`."""
        try:
            self._file.write(f"{json.dumps(record)}\n")
            self._file.flush()
            if self._board is not None:
                for name, value in record.items():
                    if name != "step":
                        self._board.add_scalar(name, value, int(record["step"]))
        except OSError as error:
            raise write_error(self._folder / LINES, error) from error

    def summarise(self) -> None:
        """Writes the table and, if matplotlib is installed, the curves."""
        records = read_lines(self._folder / LINES)
        if records:
            write_table(records, self._folder / TABLE)
            draw_curves(records, self._folder / CURVES)

    def close(self) -> None:
        """Closes the files."""
        self._file.close()
        if self._board is not None:
            self._board.close()


def read_lines(path: Path) -> list[dict[str, float]]:
    """Reads the records of a log; none if the file is missing. An incomplete last line is skipped."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
        return [json.loads(line) for line in lines if line.endswith("\n")]
    except (OSError, ValueError) as error:
        raise OutputError(f"cannot continue the log '{path}': {error}", "remove it, or use another folder") from error


def write_table(records: Sequence[Mapping[str, float]], path: Path) -> None:
    """Writes a CSV file with a row for each step and a column for each value."""
    rows: dict[float, dict[str, float]] = {}
    for record in records:
        rows.setdefault(record["step"], {}).update(record)
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["step", *_value_names(records)])
        writer.writeheader()
        writer.writerows(rows.values())


def draw_curves(records: Sequence[Mapping[str, float]], path: Path) -> None:
    """Plots every value over the steps, if matplotlib is installed."""
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        return
    names = _value_names(records)
    rows = -(-len(names) // 3)
    figure = Figure(figsize=(12, 2.6 * rows), layout="constrained")
    for index, name in enumerate(names, start=1):
        points = [(record["step"], record[name]) for record in records if name in record]
        axes: Any = figure.add_subplot(rows, 3, index)
        axes.plot(*zip(*points, strict=True), marker="." if len(points) < 30 else "")
        axes.set_title(name, fontsize="medium")
        axes.grid(alpha=0.3)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=80)


def _value_names(records: Sequence[Mapping[str, float]]) -> list[str]:
    return [name for name in dict.fromkeys(name for record in records for name in record) if name != "step"]


def _open_board(folder: Path, step: int) -> SummaryWriter | None:
    try:
        from tensorboardX import SummaryWriter
    except ModuleNotFoundError:
        return None
    return SummaryWriter(str(folder), purge_step=step or None)
