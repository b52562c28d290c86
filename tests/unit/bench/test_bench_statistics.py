import numpy as np
import pytest

from e2pose.bench.statistics import Measurement, Timings, frames_per_second, speed_ratio, summarize


def timings(total_ms, scenes_ms=None) -> Timings:
    total = np.array(total_ms, float)
    return Timings(total / 2, total, total + 1, scenes_ms or {})


def test_measurement_is_median_and_half_range_over_rounds() -> None:
    assert summarize([4.0, 1.0, 2.0]) == Measurement(2.0, 1.5, (4.0, 1.0, 2.0))
    assert summarize([3.0]) == Measurement(3.0, 0.0, (3.0,))


def test_frame_rate_uses_the_median_time_of_each_round() -> None:
    # The medians are 10, 20 and 40 ms; slow outliers have no effect.
    value = frames_per_second(np.array([[10.0, 10, 900], [20, 5, 20], [40, 40, 40]]))
    assert value.rounds == (100, 50, 25)
    assert (value.median, value.half_range) == (50, 37.5)


def test_speed_ratio_is_the_median_over_pairs() -> None:
    # The machine slows down from frame to frame; the ratio of unpaired medians would depend on it.
    reference = np.array([[10.0, 100, 1000], [20, 200, 2000]])
    times = np.array([[5.0, 50, 500], [20, 100, 1000]])
    value = speed_ratio(times, reference)
    assert value.rounds == (2.0, 2.0)
    assert value.half_range == 0
    uneven = speed_ratio(np.array([[10.0, 50, 4000], [5, 50, 500]]), reference)
    assert uneven.rounds == (1.0, 4.0)
    assert (uneven.median, uneven.half_range) == (2.5, 1.5)
    assert speed_ratio(times[:, :1], reference).rounds == speed_ratio(times, reference[:, :1]).rounds == (2.0, 1.0)


def test_percentiles_include_all_rounds() -> None:
    times = timings([[1, 2, 3, 4, 5], [6, 7, 8, 9, 10]])
    assert (times.p50_ms, times.p90_ms) == (5.5, pytest.approx(9.1))
    assert times.fps.rounds == (1000 / 3, 1000 / 8)
    assert times.network_fps.rounds == (2000 / 3, 2000 / 8)
    assert times.overhead_ms == 1


def test_crowd_ratio_compares_most_and_fewest_persons_in_each_round() -> None:
    scenes_ms = {
        20: np.array([[30.0, 30, 99], [20, 20, 20]]),
        1: np.array([[10.0, 10, 10], [5, 5, 90]]),
        5: np.ones((2, 3)),
    }
    times = timings([[1], [1]], scenes_ms)
    assert times.crowd_ratio == Measurement(3.5, 0.5, (3.0, 4.0))
    assert times.scene_latency_ms[20].rounds == (30, 20)
    assert timings([[1]]).crowd_ratio is None


def test_zero_times_do_not_divide_by_zero() -> None:
    zero = np.zeros((1, 2))
    assert np.isfinite(frames_per_second(zero).median)
    assert np.isfinite(speed_ratio(zero, zero + 1).median)
