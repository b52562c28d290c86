"""Rate and latency of the model that is running."""

import numpy as np
import pytest

from e2pose.inference.estimator import Estimator, load
from e2pose.live import stopwatch as module
from e2pose.live.stopwatch import Stopwatch

WHITE = np.full((20, 30, 3), 255, np.uint8)


@pytest.fixture
def clock(monkeypatch):
    """A clock that advances by half a second, later by the value of `step_s`, at each reading."""

    class FakeClock:
        time_s, step_s = 0.0, 0.5

        def __call__(self):
            self.time_s += self.step_s
            return self.time_s

    fake = FakeClock()
    monkeypatch.setattr(module, "perf_counter", fake)
    return fake


def test_rate_and_latency_start_at_zero_and_exclude_warm_up(tiny_model, clock):
    watch = Stopwatch(load(tiny_model, threads=1))
    assert (watch.images_per_second, watch.latency_ms) == (0.0, 0.0)
    assert len(watch(WHITE)) == 1
    assert (watch.images_per_second, watch.latency_ms) == (2.0, 500.0)


def test_only_the_last_30_images_count(tiny_model, clock):
    watch = Stopwatch(load(tiny_model, threads=1))
    watch(WHITE)
    clock.step_s = 0.25
    for _ in range(29):
        watch(WHITE)
    assert watch.latency_ms == pytest.approx((500 + 29 * 250) / 30)
    watch(WHITE)
    assert watch.latency_ms == pytest.approx(250)


def test_another_threshold_keeps_the_rate_and_another_model_restarts_it(tiny_model, clock):
    estimator = load(tiny_model, threads=1)
    watch = Stopwatch(estimator)
    watch(WHITE)
    watch.switch_to(estimator.with_threshold(1.0))
    assert watch.images_per_second == 2.0
    assert len(watch(WHITE - 1)) == 0
    watch.switch_to(load(tiny_model, threads=1))
    assert watch.images_per_second == 0.0
    assert len(watch(WHITE - 1)) == 1


def test_rate_counts_parallel_images_and_latency_does_not(tiny_model, clock):
    runtime = load(tiny_model, threads=1).runtime
    watch = Stopwatch(Estimator(runtime, num_parallel=3))
    watch(WHITE)
    assert (watch.images_per_second, watch.latency_ms) == (6.0, 500.0)
