"""The run behind `e2pose predict`, without the command line."""

import json
from fractions import Fraction

import cv2
import numpy as np
import pytest

from e2pose.core.frame import Frame, Origin
from e2pose.inference.estimator import Estimator
from e2pose.live.options import PredictOptions
from e2pose.live.pipeline import Pipeline
from e2pose.runtimes.options import RuntimeOptions
from e2pose.sources.base import SourceInfo


class FlatFrames:
    """A source of frames of one brightness each."""

    def __init__(self, *brightness, is_live=False, num_frames=None):
        self.brightness = brightness
        self.info = SourceInfo(len(brightness) if num_frames is None else num_frames, is_live=is_live)

    def __iter__(self):
        for index, value in enumerate(self.brightness):
            image = np.full((40, 60, 3), value, np.uint8)
            yield Frame(image, Origin("run.mp4", rate=Fraction(25)), index, index / 25)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        pass


@pytest.fixture
def make_pipeline(tiny_model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def make(source, *outputs, threads=4, **options):
        runtime = RuntimeOptions(threads=threads)
        pipeline = Pipeline(
            source,
            PredictOptions(model=(str(tiny_model),), **options),
            runtime,
            outputs,
            open_estimator=lambda name, num_images: Estimator.open(name, runtime, num_images=num_images),
            report=pytest.fail,
            notify=pytest.fail,
        )
        count = []
        return pipeline, pipeline.run(lambda: count.append(1)), len(count)

    return make


def persons_in(path):
    return [json.loads(line)["persons"] for line in path.read_text().splitlines()]


def test_counts_and_outputs(make_pipeline, tmp_path):
    pipeline, summary, count = make_pipeline(FlatFrames(255, 0, 255), "a.jsonl")
    assert (summary.frames, summary.persons, count) == (3, 2, 3)
    assert (pipeline.outputs, pipeline.num_dropped) == (("a.jsonl",), 0)
    assert [len(persons) for persons in persons_in(tmp_path / "a.jsonl")] == [1, 0, 1]


def test_overlays_go_to_out_by_default(make_pipeline, tmp_path):
    pipeline, _, _ = make_pipeline(FlatFrames(255))
    assert pipeline.outputs == ("out/",)
    assert list((tmp_path / "out").iterdir())


def test_source_without_frames_leaves_no_file(make_pipeline, tmp_path):
    _, summary, _ = make_pipeline(FlatFrames(num_frames=3), "a.jsonl", "a.json", "a.mp4")
    assert summary is None
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        ({}, []),
        ({"track": True}, [1] * 3),
        ({"smooth": True}, []),
        ({"track": True, "smooth": True}, [1] * 3),
    ],
)
def test_track_ids_are_written_with_track_only(make_pipeline, tmp_path, options, ids):
    make_pipeline(FlatFrames(255, 255, 255), "a.jsonl", **options)
    persons = [person for (person,) in persons_in(tmp_path / "a.jsonl")]
    assert [person["track_id"] for person in persons if "track_id" in person] == ids


@pytest.mark.parametrize(("option", "counts"), [("track", [1, 1, 1]), ("smooth", [1, 0, 1])])
def test_only_track_keeps_persons_down_to_half_the_threshold(make_pipeline, tmp_path, option, counts):
    make_pipeline(FlatFrames(255, 77, 255), "a.jsonl", **{option: True})  # scores: 1, 0.3, 1
    assert [len(persons) for persons in persons_in(tmp_path / "a.jsonl")] == counts


def test_files_run_in_parallel_and_live_sources_do_not(make_pipeline):
    assert make_pipeline(FlatFrames(255, 255), "a.jsonl", threads=2)[0].num_parallel == 2
    assert make_pipeline(FlatFrames(255, 255, is_live=True), "b.jsonl", threads=2)[0].num_parallel == 1


def test_fps_is_drawn_on_request(make_pipeline, tmp_path):
    for name, options in (("plain", {}), ("fps", {"fps": True})):
        make_pipeline(FlatFrames(0), f"{name}.png", **options)
    plain, fps = (cv2.imread(str(tmp_path / f"{name}.png")) for name in ("plain", "fps"))
    assert not plain.any()
    assert fps.any()


def test_outputs_that_failed_are_not_named_as_written(tiny_model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runtime, errors = RuntimeOptions(threads=1), []
    pipeline = Pipeline(
        FlatFrames(10, 20, 30),
        PredictOptions(model=(str(tiny_model),)),
        runtime,
        ("a.png", "b.jsonl", "c.mp4"),
        open_estimator=lambda name, num_images: Estimator.open(name, runtime, num_images=num_images),
        report=errors.append,
        notify=pytest.fail,
    )
    pipeline.run(lambda: None)
    assert ["'a.png' holds one image" in error.message for error in errors] == [True]
    assert pipeline.written == ["b.jsonl", "c.mp4"]
