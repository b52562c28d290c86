"""The window of a run: keys take effect between frames, in a pause, and while waiting for a frame."""

import sys
import threading
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from e2pose.core.errors import ModelError
from e2pose.core.frame import Frame, Origin
from e2pose.inference.estimator import load
from e2pose.inference.run import run
from e2pose.live import session as module
from e2pose.live.estimator import LiveEstimator
from e2pose.live.session import LiveSession, list_models
from e2pose.live.view import View
from e2pose.runtimes.options import RuntimeOptions
from e2pose.sources.base import SourceInfo
from e2pose.sources.prefetch import LatestFrame, Prefetch
from helpers.fake_tk import FakeTk

CHECKERS = np.kron(np.indices((30, 40)).sum(axis=0) % 2, np.ones((4, 4)))[..., None].repeat(3, 2).astype(np.uint8) * 255
PLAIN = {"show_stats": False, "show_poses": False}


class Checkers:
    """A source of checkerboard frames that can stall before one of them until it is closed."""

    def __init__(self, count, is_live=False, stalls_at=None):
        self.info = SourceInfo(count, is_live=is_live)
        self.stalls_at, self.is_stalled, self.closed = stalls_at, False, threading.Event()

    def __iter__(self):
        for index in range(self.info.frame_count):
            if index == self.stalls_at:
                self.is_stalled = True
                self.closed.wait()
            yield Frame(CHECKERS, Origin("run.mp4", Path("run.mp4"), Fraction(25)), index, index / 25)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        self.closed.set()


@pytest.fixture
def toolkit(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    fake = FakeTk()
    monkeypatch.setitem(sys.modules, "tkinter", fake)
    return fake


@pytest.fixture
def estimator(tiny_model):
    return load(tiny_model, threads=1)


class Recorder:
    """A sink next to the window."""

    def __init__(self):
        self.counts, self.indices = [], []

    def write(self, frame, poses):
        self.counts.append(len(poses))
        self.indices.append(frame.index)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        pass


def watch(estimator, frames, view=None, models=("one",), open_model=None):
    """Runs a source with a window and a recorder; returns both and the reported errors."""
    errors, recorder, model = [], Recorder(), LiveEstimator(estimator)
    source = LatestFrame(frames) if frames.info.is_live else Prefetch(frames)
    live = LiveSession(
        view or View(),
        model,
        source,
        models=models,
        open_model=open_model or (lambda _: None),
        report=errors.append,
        notify=print,
    )
    run(model, source, sinks=[live, recorder])
    return live, recorder, errors


def test_every_frame_is_shown_and_the_window_closed(toolkit, estimator):
    _, recorder, _ = watch(estimator, Checkers(4), View(**PLAIN))
    assert [image.tobytes() for image in toolkit.shown] == [CHECKERS.tobytes()] * 4
    assert recorder.indices == [0, 1, 2, 3]
    assert toolkit.is_open is False


@pytest.mark.parametrize("key", ["q", "Escape", "close button"])
def test_quit_ends_the_run_after_the_current_frame(toolkit, estimator, key):
    toolkit.plan[2] = [key, "s", "b"]
    live, recorder, _ = watch(estimator, Checkers(50))
    assert recorder.indices == [0, 1]
    assert len(toolkit.shown) == 2
    assert toolkit.is_hidden
    assert live.view.blur is None, "later keys have no effect"
    assert not list(Path().glob("*.png"))


def test_pause_loses_no_frame_of_a_video(toolkit, estimator):
    updates = []

    def resume_after_some_updates():
        updates.append(len(toolkit.shown))
        if updates.count(3) == 8:
            toolkit.press("space")

    toolkit.plan[2] = ["space"]
    toolkit.on_update = resume_after_some_updates
    live, recorder, _ = watch(estimator, Checkers(6), View(**PLAIN))
    assert recorder.indices == list(range(6))
    assert updates.count(3) >= 8, "the window responds during the pause"
    assert not live.view.is_paused


def test_resumed_live_source_continues_with_the_newest_frame(toolkit, estimator):
    frames = Checkers(500, is_live=True, stalls_at=400)

    def resume_after_the_newest_frame():
        if len(toolkit.shown) == 2 and frames.is_stalled:
            toolkit.on_update = lambda: None
            toolkit.press("space")

    toolkit.plan.update({1: ["space"], 4: ["q"]})
    toolkit.on_update = resume_after_the_newest_frame
    _, recorder, _ = watch(estimator, frames)
    first, second = recorder.indices
    assert first < second == 399


def test_view_changes_are_shown_during_a_pause(toolkit, estimator):
    toolkit.plan.update({1: ["space"], 2: ["i"], 3: ["i"], 4: ["b", "b", "b"], 7: ["q"]})
    watch(estimator, Checkers(3), View(**PLAIN))
    corner = [image[-20:, -20:] for image in toolkit.shown]
    assert corner[0].std() > 100
    assert not corner[2].any()
    np.testing.assert_array_equal(corner[3], corner[0])
    assert corner[6].std() < 30


def test_stopped_source_ends_a_pause(toolkit, estimator):
    model, recorder = LiveEstimator(estimator), Recorder()
    source = Prefetch(Checkers(50))
    live = LiveSession(View(), model, source, models=["one"], open_model=lambda _: None, report=print, notify=print)
    toolkit.plan[1] = ["space"]
    toolkit.on_update = lambda: source.stop() if len(toolkit.shown) == 2 else None
    run(model, source, sinks=[live, recorder])
    assert recorder.indices == [0]


def test_keys_take_effect_while_waiting_for_a_frame(toolkit, estimator):
    updates = []

    def quit_after_some_updates():
        updates.append(None)
        if len(updates) == 12:
            toolkit.press("i", "q")

    toolkit.on_update = quit_after_some_updates
    live, recorder, _ = watch(estimator, Checkers(9, is_live=True, stalls_at=1))
    assert recorder.indices == [0]
    assert not live.view.show_image


def test_threshold_applies_to_all_sinks(toolkit, estimator):
    toolkit.plan.update({2: ["+"] * 3, 8: ["-"] * 2})  # half of the checkers are white: the score is 0.5
    live, recorder, _ = watch(estimator, Checkers(8))
    assert recorder.counts == [1, 1, 0, 0, 0, 1, 1, 1]
    assert live.view.threshold == pytest.approx(0.45)


def test_paused_frame_is_detected_again_after_a_threshold_change(toolkit, estimator):
    view = View(is_paused=True, show_image=False, show_stats=False)
    toolkit.plan.update({1: ["+"] * 4, 5: ["-"] * 4, 9: ["q"]})
    _, recorder, _ = watch(estimator, Checkers(3), view)
    poses = [image[60:].any() for image in toolkit.shown]
    assert poses == [True, True, True, False, False, False, True, True, True]
    assert recorder.counts == [1], "sinks get the poses of the run"


def test_statistics_hold_rate_latency_and_dropped_frames(toolkit, estimator, monkeypatch):
    time_s = iter(np.arange(0, 100, 0.25))
    monkeypatch.setattr(module, "perf_counter", lambda: next(time_s))
    shown = []
    monkeypatch.setattr(module, "draw_panels", lambda image, view, stats: shown.append(stats) or image)
    watch(estimator, Checkers(40))
    assert [stats.images_per_second for stats in shown] == pytest.approx([0] + [4] * 39)
    assert all(stats.latency_ms > 0 for stats in shown)
    assert {(stats.model, stats.num_persons, stats.num_dropped) for stats in shown} == {("tiny", 1, None)}
    watch(estimator, Checkers(2, is_live=True))
    assert shown[-1].num_dropped is not None


def test_rate_restarts_after_a_pause(toolkit, estimator, monkeypatch):
    time_s = iter(np.arange(0, 100, 0.25))
    monkeypatch.setattr(module, "perf_counter", lambda: next(time_s))
    rates = []
    monkeypatch.setattr(
        module, "draw_panels", lambda image, view, stats: rates.append(stats.images_per_second) or image
    )
    toolkit.plan.update({2: ["space"], 3: ["space"]})
    watch(estimator, Checkers(4))
    assert rates == pytest.approx([0, 4, 4, 4, 0, 4]), "two frames, pause, resume, two frames"


# Blur.


def contrast(image):
    """Contrast of the checkers where the tiny model detects its person."""
    return image[40:80, 60:100].std()


def test_blur_from_the_command_line_is_in_every_image_whatever_the_keys(toolkit, estimator):
    view = View(blur="bodies", min_blur="bodies")
    keys = ["b", "m", "+", "+", "+", "-", "p", "i", "i", "f", "h", "s", "b", "s", "space", "+", "+", "+", "s", "m", "b"]
    toolkit.plan.update({index: [key] for index, key in enumerate(keys, start=1)})
    toolkit.plan[40] = ["space"]
    toolkit.on_update = lambda: toolkit.press("i", "i", "s") if len(toolkit.shown) in range(22, 38) else None
    live, _, _ = watch(estimator, Checkers(60), view, ["one", "two"], lambda _: estimator)
    assert len(toolkit.shown) > 40
    assert all(contrast(image) < 0.5 * contrast(CHECKERS) for image in toolkit.shown)
    saved = [cv2.imread(str(path)) for path in Path().glob("*.png")]
    assert len(saved) > 3
    assert all(contrast(image) < 0.5 * contrast(CHECKERS) for image in saved)
    assert live.view.threshold <= estimator.threshold, "a higher threshold would leave persons without blur"


@pytest.mark.parametrize(("min_blur", "threshold"), [(None, 0.55), ("bodies", 0.4)])
def test_blur_from_the_command_line_limits_the_threshold(toolkit, estimator, min_blur, threshold):
    toolkit.plan[1] = ["+"] * 3
    live, _, _ = watch(estimator, Checkers(3), View(blur=min_blur, min_blur=min_blur))
    assert live.view.threshold == pytest.approx(threshold)


def test_blur_of_a_paused_frame_survives_a_model_that_misses_the_person(toolkit, estimator):
    view = View(blur="bodies", min_blur="bodies", is_paused=True)
    toolkit.plan.update({1: ["m"], 3: ["q"]})
    watch(estimator, Checkers(2), view, ["one", "two"], lambda _: estimator.with_threshold(0.9))
    assert len(toolkit.shown) >= 3
    assert all(contrast(image) < 0.5 * contrast(CHECKERS) for image in toolkit.shown)


# Snapshots.


def test_snapshots_have_full_size_and_no_panels(toolkit, estimator, capsys):
    toolkit.screen_hw = (60, 80)
    toolkit.plan.update({3: ["h", "p", "s", "s"]})
    _, _, errors = watch(estimator, Checkers(5))
    assert sorted(path.name for path in Path().iterdir()) == ["run-000002-2.png", "run-000002.png"]
    np.testing.assert_array_equal(cv2.imread("run-000002.png"), CHECKERS)
    assert capsys.readouterr().out == "saved run-000002.png\nsaved run-000002-2.png\n"
    assert not errors


def test_failed_snapshot_is_reported_and_the_run_continues(toolkit, estimator, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(module, "Path", lambda: tmp_path / "file" / "below")
    toolkit.plan[1] = ["s"]
    _, recorder, (error,) = watch(estimator, Checkers(3))
    assert "cannot write" in error.message
    assert recorder.indices == [0, 1, 2]


# Models.


def test_next_model_is_opened_with_its_threshold(toolkit, estimator, tiny_model):
    opened = []

    def open_model(name):
        opened.append(name)
        return load(tiny_model, threads=1, threshold=0.9 if name == "b/two.onnx" else 0.3)

    toolkit.plan.update({2: ["m"], 5: ["m"], 8: ["m"]})
    live, recorder, _ = watch(estimator, Checkers(10), models=["one", "b/two.onnx"], open_model=open_model)
    assert opened[:2] == ["b/two.onnx", "one"]
    assert recorder.counts[:3] == [1, 1, 0]
    assert 1 in recorder.counts[3:]
    assert live.view.threshold == {"b/two.onnx": 0.9, "one": 0.3}[opened[-1]]


def test_model_that_cannot_be_opened_is_reported_and_skipped(toolkit, estimator):
    opened = []

    def open_model(name):
        opened.append(name)
        if name == "bad":
            raise ModelError("it is damaged")
        return estimator.with_threshold(0.6)

    toolkit.plan.update({2: ["+"], 5: ["m"], 8: ["m"]})
    live, recorder, (error,) = watch(estimator, Checkers(9), models=["one", "bad", "good"], open_model=open_model)
    assert opened == ["bad", "good"]
    assert error.message == "it is damaged"
    assert len(recorder.indices) == 9
    assert live.view.threshold == 0.6


def test_single_model_is_not_opened_again(toolkit, estimator):
    toolkit.plan.update({1: ["m", "m"]})
    _, recorder, errors = watch(estimator, Checkers(3), open_model=lambda _: pytest.fail("opened"))
    assert (len(recorder.indices), errors) == (3, [])


def test_requested_models_come_before_local_models_of_the_catalogue(monkeypatch):
    monkeypatch.setattr(module, "read_catalogue", lambda: ({}, "first"))
    monkeypatch.setattr(module, "local_models", lambda suffixes: ["first", "second"] if ".onnx" in suffixes else ["t"])
    assert list_models(["default"], RuntimeOptions()) == ["default", "second"]
    assert list_models(["second", "a.onnx", "second"], RuntimeOptions()) == ["second", "a.onnx", "first"]
    assert list_models(["first"], RuntimeOptions(runtime="torch")) == ["first", "t"]
