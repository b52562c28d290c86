"""Times of the stations, on a clock that is told what to say."""

import numpy as np
import pytest

from e2pose.core.poses import Poses
from e2pose.core.schema import load_schema
from e2pose.evaluation import latency
from e2pose.evaluation.latency import TimedEstimator
from e2pose.inference.estimator import load

PICTURE = np.full((40, 60, 3), 255, np.uint8)


class Clock:
    """Each look at it takes the next of the given times, in milliseconds."""

    def __init__(self, steps_ms):
        self._now_s = 0.0
        self._steps_ms = iter(steps_ms)

    def __call__(self):
        self._now_s += next(self._steps_ms) / 1000
        return self._now_s


def empty(_):
    return Poses.empty(load_schema("coco"))


def test_the_first_calls_do_not_count(monkeypatch):
    """Looks come in pairs, before and after a picture; between pictures nothing counts."""
    times_ms = [500, 400, 300, *range(1, 11)]
    monkeypatch.setattr(latency, "perf_counter", Clock(step for time in times_ms for step in (7, time)))
    timed = TimedEstimator(empty)
    for _ in times_ms:
        timed(PICTURE)
    (found,) = timed.latencies().values()
    assert found.mean_ms == pytest.approx(5.5)
    assert found.p50_ms == pytest.approx(5.5)
    assert found.p90_ms == pytest.approx(9.1)
    assert found.p99_ms == pytest.approx(9.91)


def test_a_single_call_counts(monkeypatch):
    monkeypatch.setattr(latency, "perf_counter", Clock([0, 8]))
    timed = TimedEstimator(empty)
    timed(PICTURE)
    assert timed.latencies()["total"].p90_ms == pytest.approx(8)


def test_no_calls():
    assert TimedEstimator(empty).latencies() == {}


def test_the_stations_of_an_estimator(monkeypatch, tiny_model):
    estimator = load(tiny_model, threads=1, threshold=0.3)
    expected = estimator(PICTURE)
    monkeypatch.setattr(latency, "perf_counter", Clock([0, 3, 20, 2]))
    timed = TimedEstimator(estimator)
    poses = timed(PICTURE)
    assert {name: round(one.p50_ms) for name, one in timed.latencies().items()} == {
        "preprocess": 3,
        "network": 20,
        "decode": 2,
        "total": 25,
    }
    assert np.array_equal(poses.keypoints, expected.keypoints)
