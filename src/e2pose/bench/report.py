"""Results of a comparison as tables, Markdown and JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from e2pose.bench.images import SCENE_PERSONS
from e2pose.bench.machine import Machine
from e2pose.bench.options import BenchOptions
from e2pose.bench.protocol import to_one_line
from e2pose.bench.runner import FRAMES_PER_TURN, PeerResult
from e2pose.bench.statistics import Measurement, speed_ratio

_MIN_REPORTED_OVERHEAD_MS = 20.0  # loading a large frame and transferring the messages takes less
_RANDOM_WEIGHTS, _SINGLE_PERSON = "†", "‡"

Row = list[str]


@dataclass(frozen=True, eq=False)
class Comparison:
    """Result of a comparison."""

    results: tuple[PeerResult, ...]
    failures: Mapping[str, str]  # reasons in one line, by the label of the peer
    reference: str  # label of the peer that speed ratios are relative to
    options: BenchOptions
    num_frames: int
    num_annotated: int  # number of annotated frames
    machine: Machine
    e2pose: str  # version
    date: str  # as YYYY-MM-DD
    command: str  # repeats the comparison

    @property
    def named_results(self) -> list[tuple[str, PeerResult]]:
        """Name and result of each peer; a name that several peers have is followed by the label."""
        names = [to_one_line(result.handshake.name) for result in self.results]
        return [
            (f"{name} ({result.request.label})" if names.count(name) > 1 else name, result)
            for name, result in zip(names, self.results, strict=True)
        ]

    @property
    def has_scenes(self) -> bool:
        """Whether scenes were measured."""
        return any(result.timings.scenes_ms for result in self.results)

    @property
    def reference_result(self) -> PeerResult | None:
        """The peer that speed ratios are relative to; None if it failed."""
        return next((result for result in self.results if result.request.label == self.reference), None)

    def speed_ratio(self, result: PeerResult) -> Measurement | None:
        """Speed of a peer from pixels to poses, relative to the reference."""
        reference = self.reference_result
        return speed_ratio(result.timings.total_ms, reference.timings.total_ms) if reference else None

    def to_record(self) -> dict[str, Any]:
        """Returns all numbers by name, for JSON."""
        return {
            "date": self.date,
            "command": self.command,
            "e2pose": self.e2pose,
            "machine": asdict(self.machine),
            "num_frames": self.num_frames,
            "num_annotated": self.num_annotated,
            "rounds": self.options.rounds,
            "warm_up": self.options.warm_up,
            "threads": self.options.threads,
            "frames_per_turn": FRAMES_PER_TURN,
            "reference": self.reference,
            "peers": [self._peer_record(result) for result in self.results],
            "failures": [{"label": label, "reason": reason} for label, reason in self.failures.items()],
        }

    def _peer_record(self, result: PeerResult) -> dict[str, Any]:
        timings = result.timings
        measurements = {
            "fps": timings.fps,
            "network_fps": timings.network_fps,
            "speed_ratio": self.speed_ratio(result),
            "crowd_ratio": timings.crowd_ratio,
        }
        scenes = timings.scene_latency_ms
        return {
            "label": result.request.label,
            "options": dict(result.request.options),
            **result.handshake.model_dump(mode="json", exclude={"handshake", "keypoints"}),
            "homepage": result.request.script.needs.homepage,
            "ap": result.ap,
            "missing_keypoints": list(result.missing_keypoints),
            **{name: value and asdict(value) for name, value in measurements.items()},
            "p50_ms": timings.p50_ms,
            "p90_ms": timings.p90_ms,
            "overhead_ms": timings.overhead_ms,
            "scene_latency_ms": {str(num_persons): asdict(latency) for num_persons, latency in scenes.items()},
            "peak_memory_mb": result.peak_memory_mb,
            "startup_s": result.startup_s,
            "installed_mb": result.environment.size_mb,
            "notes": _peer_notes(result),
        }


def main_table(comparison: Comparison) -> list[Row]:
    """Returns the rows of the main table, the header first."""
    header = ["Peer", "Licence", "Runtime", "Network fps", "Total fps", "Speed ratio", "p50 ms", "p90 ms"]
    header += [f"{SCENE_PERSONS[-1]}/{SCENE_PERSONS[0]} persons"] if comparison.has_scenes else []
    header += ["AP"] if comparison.num_annotated else []
    table = [[*header, "Memory MB", "Startup s", "Installed MB"]]
    for name, result in comparison.named_results:
        timings, handshake = result.timings, result.handshake
        row = [
            name + marks(result),
            to_one_line(handshake.licence),
            f"{to_one_line(handshake.runtime)}, {handshake.precision}",
            _format_fps(timings.network_fps),
            _format_fps(timings.fps),
            _format_ratio(comparison.speed_ratio(result)),
            f"{timings.p50_ms:.1f}",
            f"{timings.p90_ms:.1f}",
        ]
        if comparison.has_scenes:
            row.append(_format_ratio(timings.crowd_ratio))
        if comparison.num_annotated:
            row.append("-" if result.ap is None or result.ap < 0 else f"{100 * result.ap:.1f}")
        table.append(
            [*row, f"{result.peak_memory_mb:.0f}", f"{result.startup_s:.1f}", f"{result.environment.size_mb:.0f}"]
        )
    return table


def scene_table(comparison: Comparison) -> list[Row]:
    """Returns the rows of the latency by number of persons, the header first; no rows without scenes."""
    if not comparison.has_scenes:
        return []
    table = [["Latency in ms by number of persons", *map(str, SCENE_PERSONS)]]
    for name, result in comparison.named_results:
        latency_ms = result.timings.scene_latency_ms
        table.append([name + marks(result), *(f"{latency_ms[number].median:.1f}" for number in SCENE_PERSONS)])
    return table


def notes(comparison: Comparison) -> list[str]:
    """Returns the notes below the tables, one per line."""
    handshakes = [result.handshake for result in comparison.results]
    lines = []
    if any(handshake.random_weights for handshake in handshakes):
        lines.append(f"{_RANDOM_WEIGHTS} random weights: only the speed is meaningful, measured on the first frames.")
    if not all(handshake.multi_person for handshake in handshakes):
        lines.append(f"{_SINGLE_PERSON} detects at most one person per frame.")
    for name, result in comparison.named_results:
        peer_notes = _peer_notes(result)
        lines += [f"{name}: {'; '.join(peer_notes)}."] if peer_notes else []
    lines += [f"Failed: {label}: {reason}" for label, reason in comparison.failures.items()]
    if comparison.reference_result is None:
        lines.append(f"No speed ratios: the reference {comparison.reference} failed.")
    return lines


def marks(result: PeerResult) -> str:
    """Returns the signs after the name of a peer, which the notes explain."""
    handshake = result.handshake
    random, single = handshake.random_weights, not handshake.multi_person
    return (f" {_RANDOM_WEIGHTS}" if random else "") + (f" {_SINGLE_PERSON}" if single else "")


def _peer_notes(result: PeerResult) -> list[str]:
    handshake, overhead_ms = result.handshake, result.timings.overhead_ms
    notes = [to_one_line(handshake.note)] if handshake.note.strip() else []
    if handshake.threads != result.threads:
        notes.append(f"uses {_count(handshake.threads, 'thread')}")
    if result.missing_keypoints and result.ap is not None:
        notes.append(f"has no {', '.join(result.missing_keypoints)}; these keypoints count as missed in AP")
    if overhead_ms > max(_MIN_REPORTED_OVERHEAD_MS, result.timings.p50_ms):
        notes.append(f"responses take {overhead_ms:.0f} ms longer than the reported times")
    return notes


def conditions(comparison: Comparison) -> list[str]:
    """Returns the settings, the machine and all versions, one per line."""
    options, machine, reference = comparison.options, comparison.machine, comparison.reference_result
    annotated = f", AP on {comparison.num_annotated} of them" if comparison.num_annotated else ""
    ratios = f"; speed ratios are relative to {to_one_line(reference.handshake.name)}" if reference else ""
    memory = f", {machine.memory_gb:g} GB" if machine.memory_gb else ""
    governor = f", governor {machine.governor}" if machine.governor else ""
    load = f", load {machine.load:g} before the start" if machine.load is not None else ""
    versions = [f"{name} {to_one_line(result.handshake.version)}" for name, result in comparison.named_results]
    return [
        f"{_count(comparison.num_frames, 'frame')}{annotated}, {_count(options.rounds, 'round')} in turns of "
        f"{FRAMES_PER_TURN} frames after {_count(options.warm_up, 'warm-up frame')}, "
        f"{_count(options.threads, 'thread')}; ± is half the range over rounds{ratios}.",
        f"{machine.cpu}, {_count(machine.cores, 'core')}{memory}{governor}{load}; {machine.system}, "
        f"Python {machine.python}; {comparison.date}.",
        f"Versions: {', '.join([f'e2pose {comparison.e2pose}', *versions])}.",
    ]


def to_markdown(comparison: Comparison) -> str:
    """Returns a document with tables, notes, conditions and the command."""
    scenes, lines = scene_table(comparison), notes(comparison)
    parts = ["# Benchmark", _markdown_table(main_table(comparison))]
    parts += [_markdown_table(scenes)] if scenes else []
    parts += ["\n".join(f"- {_escape(line)}" for line in lines)] if lines else []
    parts += [_escape(line) for line in conditions(comparison)]
    parts.append(f"```text\n{comparison.command}\n```")
    return "\n\n".join(parts) + "\n"


def _markdown_table(table: Sequence[Row]) -> str:
    header, *body = ([_escape(cell) for cell in row] for row in table)
    columns = list(zip(*table, strict=True))
    rule = ["---", *("---:" if all(map(_is_number, column[1:])) else "---" for column in columns[1:])]
    return "\n".join(f"| {' | '.join(row)} |" for row in [header, rule, *body])


def _is_number(cell: str) -> bool:
    return cell[:1].isdigit() or cell == "-"


def _escape(text: str) -> str:
    return text.translate({ord(letter): f"\\{letter}" for letter in "\\`*_|<>"})


def _format_fps(value: Measurement) -> str:
    digits = 0 if value.median >= 100 else 1
    return f"{value.median:.{digits}f} ± {value.half_range:.{digits}f}"


def _format_ratio(value: Measurement | None) -> str:
    if value is None:
        return "-"
    digits = 2 if value.median >= 0.1 else 3
    return f"{value.median:.{digits}f} ± {value.half_range:.{digits}f}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
