"""Results of the bench without measurements."""

import sys
from pathlib import Path

import numpy as np

from e2pose.bench.environment import Environment
from e2pose.bench.machine import Machine
from e2pose.bench.options import BenchOptions
from e2pose.bench.peer_script import PeerNeeds, PeerRequest, PeerScript
from e2pose.bench.protocol import Handshake
from e2pose.bench.report import Comparison
from e2pose.bench.runner import PeerResult
from e2pose.bench.statistics import Timings

MACHINE = Machine("Abacus 2", 2, 8.0, "Linux", "3.12.0", "performance", 0.5)


def fake_result(
    label,
    *,
    ap=None,
    missing_keypoints=(),
    poses=None,
    total_ms=((10.0, 10.0), (20.0, 20.0)),
    scenes_ms=None,
    overhead_ms=1.0,
    **handshake,
) -> PeerResult:
    fields = {
        "handshake": 2,
        "name": label.title(),
        "version": "1",
        "licence": "MIT",
        "runtime": "none 0",
        "precision": "f32",
        "threads": 2,
        "weights": (),
        "random_weights": False,
        "multi_person": True,
        "keypoints": ("nose",),
    } | handshake
    total = np.array(total_ms)
    needs = PeerNeeds(name=label, licence="MIT")
    return PeerResult(
        request=PeerRequest(label, PeerScript(path=Path(f"{label}.py"), block="", needs=needs)),
        environment=Environment(Path(sys.executable), Path(), 123.4),
        threads=2,
        handshake=Handshake(**{**fields, "keypoints": tuple(fields["keypoints"])}),
        startup_s=1.25,
        peak_memory_mb=99.6,
        timings=Timings(total / 2, total, total + overhead_ms, scenes_ms or {}),
        poses=poses or {},
        ap=ap,
        missing_keypoints=missing_keypoints,
    )


def fake_comparison(*results: PeerResult, **changes) -> Comparison:
    fields = {
        "results": results,
        "failures": {},
        "reference": results[0].request.label if results else "none",
        "options": BenchOptions(rounds=2, warm_up=3, threads=2),
        "num_frames": 2,
        "num_annotated": 0,
        "machine": MACHINE,
        "e2pose": "9.9",
        "date": "2026-01-02",
        "command": "e2pose bench a.jpg",
    }
    return Comparison(**{**fields, **changes})
