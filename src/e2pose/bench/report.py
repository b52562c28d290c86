"""What a comparison has found: for Markdown, for the terminal, and for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from e2pose.bench.images import CROWDS
from e2pose.bench.machine import Machine
from e2pose.bench.protocol import one_line
from e2pose.bench.runner import TURN, Failure, Pace, PeerRun
from e2pose.bench.statistics import Estimate, speed_ratio

_UNEXPLAINED_MS = 20.0  # loading a large frame and passing a line takes less
_SMALL_RATIO = 0.1  # needs a digit more
_RANDOM, _SINGLE = "†", "‡"


@dataclass(frozen=True, eq=False)
class PeerResult:
    """A peer and how good its poses are.

    Args:
        run: What it has said and done.
        ap: Average precision in [0, 1]; None if nothing is annotated or its weights are random.
        missing: Annotated keypoints that it does not find.
    """

    run: PeerRun
    ap: float | None = None
    missing: tuple[str, ...] = ()

    @property
    def notes(self) -> list[str]:
        """What a reader of its numbers must know."""
        run, hello = self.run, self.run.hello
        notes = [one_line(hello.note)] if hello.note.strip() else []
        if hello.threads != run.threads:
            notes.append(f"it says that it uses {_counted(hello.threads, 'thread')}")
        if self.missing and self.ap is not None:
            notes.append(f"it does not find {', '.join(self.missing)}, which count as missed in AP")
        unexplained_ms = run.timings.unexplained_ms
        if unexplained_ms > max(_UNEXPLAINED_MS, run.timings.p50_ms):
            notes.append(f"its answers take {unexplained_ms:.0f} ms longer than it accounts for")
        return notes


@dataclass(frozen=True, eq=False)
class Comparison:
    """Everything that a comparison has found.

    Args:
        results: The peers that went through.
        failures: Those that did not.
        reference: Label of the peer that ratios refer to.
        pace: How they were asked.
        frames: How many frames they were asked about.
        annotated: How many of the frames have annotations; 0 if there are none.
        machine: Where.
        e2pose: The version of e2pose.
        date: When, as YYYY-MM-DD.
        command: What repeats it.
    """

    results: tuple[PeerResult, ...]
    failures: tuple[Failure, ...]
    reference: str
    pace: Pace
    frames: int
    annotated: int
    machine: Machine
    e2pose: str
    date: str
    command: str

    @property
    def names(self) -> list[str]:
        """What each peer is called: what it calls itself, and what the user calls it where that is not distinct."""
        own = [one_line(result.run.hello.name) for result in self.results]
        labels = [result.run.request.label for result in self.results]
        return [f"{name} ({label})" if own.count(name) > 1 else name for name, label in zip(own, labels, strict=True)]

    @property
    def reference_run(self) -> PeerRun | None:
        """The peer that ratios refer to, if it went through."""
        runs = (result.run for result in self.results)
        return next((run for run in runs if run.request.label == self.reference), None)

    def ratio(self, result: PeerResult) -> Estimate | None:
        """How many times as fast as the reference a peer is, from pixels to poses."""
        reference = self.reference_run
        if reference is None:
            return None
        return speed_ratio(result.run.timings.total_ms, reference.timings.total_ms)

    def network_ratio(self, result: PeerResult) -> Estimate | None:
        """How many times as fast as the reference its network is."""
        reference = self.reference_run
        if reference is None:
            return None
        return speed_ratio(result.run.timings.network_ms, reference.timings.network_ms)

    def to_record(self) -> dict[str, Any]:
        """All numbers by name, for JSON."""
        return {
            "date": self.date,
            "command": self.command,
            "e2pose": self.e2pose,
            "machine": asdict(self.machine),
            "frames": self.frames,
            "annotated": self.annotated,
            **asdict(self.pace),
            "frames_in_a_turn": TURN,
            "reference": self.reference,
            "peers": [self._peer_record(result) for result in self.results],
            "failures": [asdict(failure) for failure in self.failures],
        }

    def _peer_record(self, result: PeerResult) -> dict[str, Any]:
        run, timings = result.run, result.run.timings
        ratio, network_ratio, growth = self.ratio(result), self.network_ratio(result), timings.growth
        return {
            "label": run.request.label,
            "options": dict(run.request.options),
            **run.hello.model_dump(mode="json", exclude={"hello", "keypoints"}),
            "homepage": run.request.script.needs.homepage,
            "ap": result.ap,
            "missing_keypoints": list(result.missing),
            "fps": asdict(timings.fps),
            "network_fps": asdict(timings.network_fps),
            "ratio": ratio and asdict(ratio),
            "network_ratio": network_ratio and asdict(network_ratio),
            "p50_ms": timings.p50_ms,
            "p90_ms": timings.p90_ms,
            "unexplained_ms": timings.unexplained_ms,
            "people_ms": {str(people): asdict(times) for people, times in timings.people_ms.items()},
            "growth": growth and asdict(growth),
            "peak_memory_mb": run.peak_memory_mb,
            "startup_s": run.startup_s,
            "installed_mb": run.environment.size_mb,
            "notes": result.notes,
        }


Row = list[str]


def rows(comparison: Comparison) -> list[Row]:
    """The table as text, its head first."""
    with_people = any(result.run.timings.scenes_ms for result in comparison.results)
    head = ["Peer", "Licence", "Runtime", "Network fps", "Fps", "Ratio", "p50 ms", "p90 ms"]
    head += [f"{CROWDS[-1]}/{CROWDS[0]} people"] if with_people else []
    head += ["AP"] if comparison.annotated else []
    table = [[*head, "Memory MB", "Start s", "Size MB"]]
    for name, result in zip(comparison.names, comparison.results, strict=True):
        run, timings, ratio = result.run, result.run.timings, comparison.ratio(result)
        row = [
            name + marks(result),
            one_line(run.hello.licence),
            f"{one_line(run.hello.runtime)}, {run.hello.precision}",
        ]
        row += [_plus_minus(timings.network_fps), _plus_minus(timings.fps), _ratio(ratio)]
        row += [_ms(timings.p50_ms), _ms(timings.p90_ms)]
        row += [_ratio(timings.growth)] if with_people else []
        row += ["-" if result.ap is None or result.ap < 0 else f"{100 * result.ap:.1f}"] if comparison.annotated else []
        table.append([*row, f"{run.peak_memory_mb:.0f}", f"{run.startup_s:.1f}", f"{run.environment.size_mb:.0f}"])
    return table


def people_rows(comparison: Comparison) -> list[Row]:
    """Milliseconds for scenes with more and more people, the head first; nothing if there are no scenes."""
    if not any(result.run.timings.scenes_ms for result in comparison.results):
        return []
    table = [["ms by people in the frame", *map(str, CROWDS)]]
    for name, result in zip(comparison.names, comparison.results, strict=True):
        times = result.run.timings.people_ms
        table.append([name + marks(result), *(_ms(times[people].median) for people in CROWDS)])
    return table


def marks(result: PeerResult) -> str:
    """The signs behind a name that `notes` explains."""
    hello = result.run.hello
    return (f" {_RANDOM}" if hello.random_weights else "") + (f" {_SINGLE}" if hello.people == "one" else "")


def notes(comparison: Comparison) -> list[str]:
    """What stands below the tables, each a line."""
    results = comparison.results
    lines = []
    if any(result.run.hello.random_weights for result in results):
        lines.append(f"{_RANDOM} with random weights: only its speed means anything, taken from the first frames.")
    if any(result.run.hello.people == "one" for result in results):
        lines.append(f"{_SINGLE} finds one person in a frame.")
    for name, result in zip(comparison.names, results, strict=True):
        lines += [f"{name}: {'; '.join(result.notes)}."] if result.notes else []
    lines += [f"Not compared: {failure.label}: {failure.reason}" for failure in comparison.failures]
    if comparison.reference_run is None:
        lines.append(f"No ratios: the reference, {comparison.reference}, was not compared.")
    return lines


def circumstances(comparison: Comparison) -> list[str]:
    """How and where, each a line."""
    pace, machine = comparison.pace, comparison.machine
    reference = comparison.reference_run
    about = f", AP over {comparison.annotated} of them" if comparison.annotated else ""
    ratios = f"; ratios are to {one_line(reference.hello.name)}" if reference else ""
    memory = f", {machine.memory_gb:g} GB" if machine.memory_gb else ""
    governor = f", governor {machine.governor}" if machine.governor else ""
    versions = [
        f"{name} {one_line(one.run.hello.version)}"
        for name, one in zip(comparison.names, comparison.results, strict=True)
    ]
    load = f", load {machine.load:g} before the start" if machine.load is not None else ""
    return [
        f"{_counted(comparison.frames, 'frame')}{about}, {_counted(pace.rounds, 'round')} in turns of {TURN} frames, "
        f"{_counted(pace.warm_up, 'frame')} of warm-up in each, {_counted(pace.threads, 'thread')}; "
        f"± is half of the range over rounds{ratios}.",
        f"{machine.cpu}, {_counted(machine.cores, 'core')}{memory}{governor}{load}; {machine.system}, "
        f"Python {machine.python}; {comparison.date}.",
        f"Versions: {', '.join([f'e2pose {comparison.e2pose}', *versions])}.",
    ]


def to_markdown(comparison: Comparison) -> str:
    """Tables, notes, circumstances and the command, complete as a document."""
    people = people_rows(comparison)
    parts = ["# Benchmark", _markdown_table(rows(comparison)), *([_markdown_table(people)] if people else [])]
    said = notes(comparison)
    parts += ["\n".join(f"- {_escaped(line)}" for line in said)] if said else []
    parts += [_escaped(line) for line in circumstances(comparison)]
    parts.append(f"```text\n{comparison.command}\n```")
    return "\n\n".join(parts) + "\n"


def _markdown_table(table: Sequence[Row]) -> str:
    head, *body = ([_escaped(cell) for cell in row] for row in table)
    rule = ["---", *["---:" if _is_number(column) else "---" for column in list(zip(*table, strict=True))[1:]]]
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, rule, *body])


def _is_number(column: Sequence[str]) -> bool:
    return all(cell[:1].isdigit() or cell == "-" for cell in column[1:])


def _escaped(text: str) -> str:
    for letter in "\\`*_|<>":
        text = text.replace(letter, f"\\{letter}")
    return text


def _plus_minus(value: Estimate) -> str:
    digits = 0 if value.median >= 100 else 1
    return f"{value.median:.{digits}f} ± {value.spread:.{digits}f}"


def _ratio(value: Estimate | None) -> str:
    if value is None:
        return "-"
    digits = 2 if value.median >= _SMALL_RATIO else 3
    return f"{value.median:.{digits}f} ± {value.spread:.{digits}f}"


def _ms(value: float) -> str:
    return f"{value:.1f}"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
