"""The window of a run: keys are obeyed between frames, in a pause, and while no frame comes."""

import sys
import time
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
from e2pose.live.session import LiveSession, models_in_turn
from e2pose.live.view import View
from e2pose.runtimes.options import RuntimeOptions
from e2pose.sources.base import SourceInfo
from e2pose.sources.prefetch import LatestFrame, Prefetch
from helpers.fake_tk import FakeTk

CHECKERS = np.kron(np.indices((30, 40)).sum(axis=0) % 2, np.ones((4, 4)))[..., None].repeat(3, 2).astype(np.uint8) * 255
QUIET = {"shows_numbers": False, "shows_poses": False}


class Frames:
    """A source of checkers that stops giving any after some frames if it is told to."""

    def __init__(self, count, is_live=False, halts_at=None):
        self.info = SourceInfo(count, is_live=is_live)
        self.halts_at, self.is_halted, self.is_left = halts_at, False, False

    def __iter__(self):
        for index in range(self.info.frame_count):
            while index == self.halts_at and not self.is_left:
                self.is_halted = True
                time.sleep(0.005)
            yield Frame(CHECKERS, Origin("run.mp4", Path("run.mp4"), Fraction(25)), index, index / 25)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        self.is_left = True


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
    """A sink beside the window."""

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
    """Runs the belt with a live view and a recorder; gives the view, the recorder and what went wrong."""
    problems, recorder, model = [], Recorder(), LiveEstimator(estimator)
    ahead = LatestFrame(frames) if frames.info.is_live else Prefetch(frames)
    live = LiveSession(
        view or View(),
        model,
        ahead,
        models=models,
        open_model=open_model or (lambda _: None),
        report=problems.append,
        notify=print,
    )
    run(model, ahead, sinks=[live, recorder])
    return live, recorder, problems


def test_every_frame_is_shown_and_the_window_closed(toolkit, estimator):
    _, recorder, _ = watch(estimator, Frames(4), View(**QUIET))
    assert [image.tobytes() for image in toolkit.shown] == [CHECKERS.tobytes()] * 4
    assert recorder.indices == [0, 1, 2, 3]
    assert toolkit.is_open is False


@pytest.mark.parametrize("key", ["q", "Escape", "close button"])
def test_closing_ends_the_run_after_the_frame_in_hand(toolkit, estimator, key):
    toolkit.plan[2] = [key, "s", "b"]
    live, recorder, _ = watch(estimator, Frames(50))
    assert recorder.indices == [0, 1]
    assert len(toolkit.shown) == 2
    assert toolkit.is_hidden
    assert live.view.blur is None, "nothing counts after that"
    assert not list(Path().glob("*.png"))


def test_a_pause_loses_no_frame_of_a_video(toolkit, estimator):
    calls = []

    def go_on_later():
        calls.append(len(toolkit.shown))
        if calls.count(3) == 8:
            toolkit.press("space")

    toolkit.plan[2] = ["space"]
    toolkit.on_update = go_on_later
    live, recorder, _ = watch(estimator, Frames(6), View(**QUIET))
    assert recorder.indices == list(range(6))
    assert calls.count(3) >= 8, "it reacts all the time"
    assert not live.view.is_paused


def test_a_paused_live_source_goes_on_with_the_newest_frame(toolkit, estimator):
    frames = Frames(500, is_live=True, halts_at=400)

    def go_on_when_the_newest_is_there():
        if len(toolkit.shown) == 2 and frames.is_halted:
            toolkit.on_update = lambda: None
            toolkit.press("space")

    toolkit.plan.update({1: ["space"], 4: ["q"]})
    toolkit.on_update = go_on_when_the_newest_is_there
    _, recorder, _ = watch(estimator, frames)
    first, second = recorder.indices
    assert first < second == 399


def test_what_a_key_changes_is_shown_in_a_pause(toolkit, estimator):
    toolkit.plan.update({1: ["space"], 2: ["i"], 3: ["i"], 4: ["b", "b", "b"], 7: ["q"]})
    watch(estimator, Frames(3), View(**QUIET))
    corner = [image[-20:, -20:] for image in toolkit.shown]
    assert corner[0].std() > 100
    assert not corner[2].any()
    np.testing.assert_array_equal(corner[3], corner[0])
    assert corner[6].std() < 30


def test_ctrl_c_ends_a_pause(toolkit, estimator):
    model, recorder = LiveEstimator(estimator), Recorder()
    ahead = Prefetch(Frames(50))
    live = LiveSession(View(), model, ahead, models=["one"], open_model=lambda _: None, report=print, notify=print)
    toolkit.plan[1] = ["space"]
    toolkit.on_update = lambda: ahead.stop() if len(toolkit.shown) == 2 else None
    run(model, ahead, sinks=[live, recorder])
    assert recorder.indices == [0]


def test_keys_are_obeyed_while_no_frame_comes(toolkit, estimator):
    updates = []

    def close_after_a_while():
        updates.append(None)
        if len(updates) == 12:
            toolkit.press("i", "q")

    toolkit.on_update = close_after_a_while
    live, recorder, _ = watch(estimator, Frames(9, is_live=True, halts_at=1))
    assert recorder.indices == [0]
    assert not live.view.shows_picture


def test_the_threshold_counts_for_the_whole_run(toolkit, estimator):
    toolkit.plan.update({2: ["+"] * 3, 8: ["-"] * 2})  # half of the checkers are white: the score is 0.5
    live, recorder, _ = watch(estimator, Frames(8))
    assert recorder.counts == [1, 1, 0, 0, 0, 1, 1, 1]
    assert live.view.threshold == pytest.approx(0.45)


def test_a_paused_picture_is_looked_at_again(toolkit, estimator):
    seen = []
    view = View(is_paused=True, shows_picture=False, shows_numbers=False)
    toolkit.plan.update({1: ["+"] * 4, 5: ["-"] * 4, 9: ["q"]})
    toolkit.on_update = lambda: seen.append(len(toolkit.shown))
    _, recorder, _ = watch(estimator, Frames(3), view)
    poses = [image[60:].any() for image in toolkit.shown]
    assert poses == [True, True, True, False, False, False, True, True, True]
    assert recorder.counts == [1], "what is written is what the run has found"


# Blur.


def secret(image):
    """How much is to be seen of the checkers where the tiny model has its person."""
    return image[40:80, 60:100].std()


def test_blur_that_was_asked_for_is_in_every_picture_whatever_the_keys(toolkit, estimator):
    view = View(blur="people", least_blur="people")
    keys = ["b", "m", "+", "+", "+", "-", "p", "i", "i", "f", "h", "s", "b", "s", "space", "+", "+", "+", "s", "m", "b"]
    toolkit.plan.update({index: [key] for index, key in enumerate(keys, start=1)})
    toolkit.plan[40] = ["space"]
    toolkit.on_update = lambda: toolkit.press("i", "i", "s") if len(toolkit.shown) in range(22, 38) else None
    live, _, _ = watch(estimator, Frames(60), view, ["one", "two"], lambda _: estimator)
    assert len(toolkit.shown) > 40
    assert all(secret(image) < 0.5 * secret(CHECKERS) for image in toolkit.shown)
    saved = [cv2.imread(str(path)) for path in Path().glob("*.png")]
    assert len(saved) > 3
    assert all(secret(image) < 0.5 * secret(CHECKERS) for image in saved)
    assert live.view.threshold <= estimator.threshold, "nobody is lost to a higher threshold"


# Saving.


def test_saved_pictures_are_what_is_shown_without_the_panels(toolkit, estimator, capsys):
    toolkit.screen_hw = (60, 80)
    toolkit.plan.update({3: ["h", "p", "s", "s"]})
    _, _, problems = watch(estimator, Frames(5))
    assert sorted(path.name for path in Path().iterdir()) == ["run-000002-2.png", "run-000002.png"]
    np.testing.assert_array_equal(cv2.imread("run-000002.png"), CHECKERS)  # not shrunk either
    assert capsys.readouterr().out == "saved run-000002.png\nsaved run-000002-2.png\n"
    assert not problems


def test_a_picture_that_cannot_be_saved_is_said_and_the_run_goes_on(toolkit, estimator, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(module, "Path", lambda *_: tmp_path / "file" / "below")
    toolkit.plan[1] = ["s"]
    _, recorder, (problem,) = watch(estimator, Frames(3))
    assert "cannot write" in problem.message
    assert recorder.indices == [0, 1, 2]


# Models.


def test_the_next_model_is_opened_and_brings_its_threshold(toolkit, estimator, tiny_model):
    asked = []

    def open_model(name):
        asked.append(name)
        return load(tiny_model, threads=1, threshold=0.9 if name == "b/two.onnx" else 0.3)

    toolkit.plan.update({2: ["m"], 5: ["m"], 8: ["m"]})
    live, recorder, _ = watch(estimator, Frames(10), models=["one", "b/two.onnx"], open_model=open_model)
    assert asked[:2] == ["b/two.onnx", "one"]
    assert recorder.counts[:3] == [1, 1, 0]
    assert 1 in recorder.counts[3:]
    assert live.view.threshold == {"b/two.onnx": 0.9, "one": 0.3}[asked[-1]]


def test_a_model_that_cannot_be_opened_is_passed_over(toolkit, estimator):
    asked = []

    def open_model(name):
        asked.append(name)
        if name == "bad":
            raise ModelError("it is damaged")
        return estimator.with_threshold(0.6)

    toolkit.plan.update({2: ["+"], 5: ["m"], 8: ["m"]})
    live, recorder, (problem,) = watch(estimator, Frames(9), models=["one", "bad", "good"], open_model=open_model)
    assert asked == ["bad", "good"]
    assert problem.message == "it is damaged"
    assert len(recorder.indices) == 9
    assert live.view.threshold == 0.6


def test_a_single_model_is_not_opened_again(toolkit, estimator):
    toolkit.plan.update({1: ["m", "m"]})
    _, recorder, problems = watch(estimator, Frames(3), open_model=lambda _: pytest.fail("it was"))
    assert (len(recorder.indices), problems) == (3, [])


def test_models_in_turn(monkeypatch):
    monkeypatch.setattr(module, "read_catalogue", lambda: ({}, "first"))
    monkeypatch.setattr(module, "local_models", lambda suffixes: ["first", "second"] if ".onnx" in suffixes else ["t"])
    assert models_in_turn(["default"], RuntimeOptions()) == ["default", "second"]
    assert models_in_turn(["second", "a.onnx", "second"], RuntimeOptions()) == ["second", "a.onnx", "first"]
    assert models_in_turn(["first"], RuntimeOptions(runtime="torch")) == ["first", "t"]
