import numpy as np
import pytest

from e2pose.bench.statistics import Estimate, Timings, estimate, rate, speed_ratio


def timings(total_ms, scenes_ms=None) -> Timings:
    total = np.array(total_ms, float)
    return Timings(total / 2, total, total + 1, scenes_ms or {})


def test_an_estimate_is_median_and_half_range_over_rounds() -> None:
    assert estimate([4.0, 1.0, 2.0]) == Estimate(2.0, 1.5, (4.0, 1.0, 2.0))
    assert estimate([3.0]) == Estimate(3.0, 0.0, (3.0,))


def test_rates_are_those_of_the_median_frame_of_each_round() -> None:
    # medians 10, 20 and 40 ms; the slow outliers do not count
    value = rate(np.array([[10.0, 10, 900], [20, 5, 20], [40, 40, 40]]))
    assert value.rounds == (100, 50, 25)
    assert (value.median, value.spread) == (50, 37.5)


def test_ratios_are_taken_pair_by_pair() -> None:
    # The machine slows down by ten from frame to frame: unpaired medians would hide that the first is twice as fast.
    reference = np.array([[10.0, 100, 1000], [20, 200, 2000]])
    ours = np.array([[5.0, 50, 500], [20, 100, 1000]])
    value = speed_ratio(ours, reference)
    assert value.rounds == (2.0, 2.0)
    assert value.spread == 0
    uneven = speed_ratio(np.array([[10.0, 50, 4000], [5, 50, 500]]), reference)
    assert uneven.rounds == (1.0, 4.0)
    assert (uneven.median, uneven.spread) == (2.5, 1.5)
    assert speed_ratio(ours[:, :1], reference).rounds == speed_ratio(ours, reference[:, :1]).rounds == (2.0, 1.0)


def test_percentiles_are_over_all_answers() -> None:
    one = timings([[1, 2, 3, 4, 5], [6, 7, 8, 9, 10]])
    assert (one.p50_ms, one.p90_ms) == (5.5, pytest.approx(9.1))
    assert one.fps.rounds == (1000 / 3, 1000 / 8)
    assert one.network_fps.rounds == (2000 / 3, 2000 / 8)
    assert one.unexplained_ms == 1


def test_growth_is_that_of_each_round_from_fewest_to_most() -> None:
    scenes = {20: np.array([[30.0, 30, 99], [20, 20, 20]]), 1: np.array([[10.0, 10, 10], [5, 5, 90]])}
    one = timings([[1], [1]], scenes)
    assert one.growth == Estimate(3.5, 0.5, (3.0, 4.0))
    assert one.people_ms[20].rounds == (30, 20)
    assert timings([[1]]).growth is None


def test_no_time_at_all_is_no_division_by_zero() -> None:
    nothing = np.zeros((1, 2))
    assert np.isfinite(rate(nothing).median)
    assert np.isfinite(speed_ratio(nothing, nothing + 1).median)
