"""The rate of what really looks, whatever it looked with before."""

import numpy as np
import pytest

from e2pose.inference.estimator import load
from e2pose.live import stopwatch as module
from e2pose.live.stopwatch import Stopwatch

PICTURE = np.full((20, 30, 3), 255, np.uint8)


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes on by half a second whenever it is read."""
    time_s = iter(np.arange(0, 1000, 0.5))
    monkeypatch.setattr(module, "perf_counter", lambda: next(time_s))


def test_rate_and_latency(tiny_model, clock):
    watch = Stopwatch(load(tiny_model, threads=1))
    assert (watch.images_per_second, watch.latency_ms) == (0.0, 0.0)
    assert len(watch(PICTURE)) == 1
    assert (watch.images_per_second, watch.latency_ms) == (2.0, 500.0)


def test_another_threshold_keeps_the_rate_and_another_model_does_not(tiny_model, clock):
    estimator = load(tiny_model, threads=1)
    watch = Stopwatch(estimator)
    watch(PICTURE)
    watch.use(estimator.with_threshold(1.0))
    assert watch.images_per_second == 2.0
    assert len(watch(PICTURE - 1)) == 0
    watch.use(load(tiny_model, threads=1))
    assert watch.images_per_second == 0.0
    assert len(watch(PICTURE - 1)) == 1


def test_rate_of_several_at_once(tiny_model, clock):
    watch = Stopwatch(load(tiny_model, threads=1), num_parallel=3)
    watch(PICTURE)
    assert (watch.images_per_second, watch.latency_ms) == (6.0, 500.0)
