"""Latency by stage, on a fake clock."""

import numpy as np
import pytest

from e2pose.core.poses import Poses
from e2pose.core.schema import load_schema
from e2pose.evaluation import latency
from e2pose.evaluation.latency import TimedEstimator
from e2pose.inference.estimator import load

IMAGE = np.full((40, 60, 3), 255, np.uint8)


class FakeClock:
    """Each call advances the time by the next of the given steps in milliseconds."""

    def __init__(self, steps_ms):
        self._now_s = 0.0
        self._steps_ms = iter(steps_ms)

    def __call__(self):
        self._now_s += next(self._steps_ms) / 1000
        return self._now_s


def estimate_nothing(_):
    return Poses.empty(load_schema("coco"))


def test_warm_up_images_and_time_between_images_are_left_out(monkeypatch):
    times_ms = [500, 400, 300, *range(1, 11)]
    monkeypatch.setattr(latency, "perf_counter", FakeClock(step for time in times_ms for step in (7, time)))
    timed = TimedEstimator(estimate_nothing)
    for _ in times_ms:
        timed(IMAGE)
    (times,) = timed.latencies().values()
    assert times.mean_ms == pytest.approx(5.5)
    assert times.p50_ms == pytest.approx(5.5)
    assert times.p90_ms == pytest.approx(9.1)
    assert times.p99_ms == pytest.approx(9.91)


def test_mean_and_median_differ(monkeypatch):
    monkeypatch.setattr(latency, "perf_counter", FakeClock([0, 1, 0, 1, 0, 1, 0, 1, 0, 2, 0, 9]))
    timed = TimedEstimator(estimate_nothing)
    for _ in range(6):
        timed(IMAGE)
    assert timed.latencies()["total"].mean_ms == pytest.approx(4)
    assert timed.latencies()["total"].p50_ms == pytest.approx(2)


def test_single_image_is_measured(monkeypatch):
    monkeypatch.setattr(latency, "perf_counter", FakeClock([0, 8]))
    timed = TimedEstimator(estimate_nothing)
    timed(IMAGE)
    assert timed.latencies()["total"].p90_ms == pytest.approx(8)


def test_no_images_have_no_latency():
    assert TimedEstimator(estimate_nothing).latencies() == {}


def test_estimator_is_measured_by_stage(monkeypatch, tiny_model):
    estimator = load(tiny_model, threads=1, threshold=0.3)
    expected = estimator(IMAGE)
    monkeypatch.setattr(latency, "perf_counter", FakeClock([0, 3, 20, 2]))
    timed = TimedEstimator(estimator)
    poses = timed(IMAGE)
    assert {stage: round(times.p50_ms) for stage, times in timed.latencies().items()} == {
        "preprocess": 3,
        "network": 20,
        "decode": 2,
        "total": 25,
    }
    assert np.array_equal(poses.keypoints, expected.keypoints)
