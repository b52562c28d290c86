"""`--blur` hides every head of a video, and changes no data."""

import json

import numpy as np
import pytest

from e2pose.cli.app import main
from e2pose.inference.anonymise import LOOKAHEAD_S, BlurSink, BlurThresholds, PersonsToBlur
from e2pose.inference.estimator import load
from e2pose.live.options import PredictOptions
from e2pose.live.pipeline import Pipeline
from e2pose.render.blur import blur_image
from e2pose.runtimes.options import RuntimeOptions
from e2pose.sources.open import open_source
from e2pose.tracking.tracker import Tracker
from helpers.media import write_clip
from helpers.synthetic import read_video

pytestmark = pytest.mark.slow


class Frames(list):
    """A sink that stores the frames."""

    def write(self, frame, poses):
        self.append(frame)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass


@pytest.fixture(scope="module")
def sidestep():
    """The frames of the sample with the detections of a low threshold, and the four persons by track id."""
    estimator = load(threads=2)
    thresholds = BlurThresholds.of(estimator.threshold, estimator.spec)
    finder = estimator.with_threshold(thresholds.known)
    frames = list(open_source("samples/sidestep.mp4"))
    detections = [finder(frame.image) for frame in frames]
    tracker = Tracker(thresholds.blurred)
    tracked = [tracker(frame, poses) for frame, poses in zip(frames, detections, strict=True)]
    known = [dict(zip(poses.track_ids.tolist(), poses.keypoints, strict=True)) for poses in tracked]
    persons = {track_id: [found[track_id] for found in known] for track_id in (1, 2, 3, 4)}  # in every frame
    return frames, detections, persons, thresholds


def anonymise(frames, detections, thresholds, lookahead_s):
    blurred, stage = Frames(), PersonsToBlur(lambda: thresholds)
    with BlurSink(blurred, stage, "heads", lookahead_s=lookahead_s) as sink:
        for frame, poses in zip(frames, detections, strict=True):
            sink.write(frame, stage(frame, poses))
    return [frame.image for frame in blurred]


def bare_heads(frames, images, persons, missed=None):
    """Counts the frames and persons whose head is not hidden: less than half of the disc around its keypoints."""
    bare = set()
    for index, (frame, image) in enumerate(zip(frames, images, strict=True)):
        for track_id, keypoints in persons.items():
            if missed is not None and index not in missed[track_id]:
                continue
            head_xy = keypoints[index][:5]
            center, radius = (head_xy.min(0) + head_xy.max(0)) / 2, max(2, 0.5 * np.hypot(*np.ptp(head_xy, axis=0)))
            left, top = np.maximum(center - radius, 0).astype(int)
            right, bottom = (center + radius + 1).astype(int)
            changed = (frame.image[top:bottom, left:right] != image[top:bottom, left:right]).any(axis=2)
            rows, columns = np.mgrid[: changed.shape[0], : changed.shape[1]]
            disc = np.hypot(columns + left + 0.5 - center[0], rows + top + 0.5 - center[1]) < radius
            if changed[disc].mean() < 0.5:
                bare.add((index, track_id))
    return bare


@pytest.mark.parametrize("lookahead_s", [0.0, LOOKAHEAD_S])
def test_no_head_of_the_sample_video_is_bare(sidestep, lookahead_s):
    frames, detections, persons, thresholds = sidestep
    images = anonymise(frames, detections, thresholds, lookahead_s)
    assert bare_heads(frames, images, persons) == set()
    strong = [poses[poses.scores >= thresholds.output] for poses in detections]
    alone = [blur_image(frame.image, poses, "heads") for frame, poses in zip(frames, strong, strict=True)]
    bare = bare_heads(frames, alone, persons)
    assert len({index for index, track_id in bare if track_id != 4}) == 8, "without tracking, 8 frames show a head"


def test_no_head_is_bare_where_persons_are_missed_for_a_quarter_second(sidestep):
    """Each person is missed for 6 frames, again and again."""
    frames, detections, persons, thresholds = sidestep
    missed = {track_id: {i for i in range(100) if (i + 7 * track_id) % 29 < 6} for track_id in persons}
    remaining = []
    for index, poses in enumerate(detections):
        kept = np.ones(len(poses), bool)
        for track_id, keypoints in persons.items():
            if index in missed[track_id]:
                size = np.ptp(keypoints[index], axis=0).max()
                distance = np.abs(poses.keypoints.mean(axis=1) - keypoints[index].mean(axis=0)).max(axis=1)
                kept &= distance > 0.25 * size
        remaining.append(poses[kept])
    images = anonymise(frames, remaining, thresholds, LOOKAHEAD_S)
    assert bare_heads(frames, images, persons, missed) == set()
    forward = anonymise(frames, remaining, thresholds, 0.0)
    assert len(bare_heads(frames, forward, persons, missed)) <= 0.1 * sum(map(len, missed.values()))


@pytest.mark.parametrize("options", [[], ["--track", "--smooth"]], ids=" ".join)
def test_blur_changes_no_data_and_every_frame(tmp_path, sidestep, options):
    clip = write_clip(tmp_path / "clip.mp4", [frame.image[::2, ::2] for frame in sidestep[0][66:86]])
    for name, blur in {"plain": [], "heads": ["--blur", "heads"], "frame": ["--blur", "frame"]}.items():
        words = [
            "predict",
            str(clip),
            *options,
            *blur,
            "-o",
            f"{tmp_path}/{name}.jsonl",
            "-o",
            f"{tmp_path}/{name}.mp4",
        ]
        assert main([*words, "-q"]) == 0
    lines = [(tmp_path / f"{name}.jsonl").read_text() for name in ("plain", "heads", "frame")]
    assert lines[0] == lines[1] == lines[2]
    assert sum(len(json.loads(line)["persons"]) for line in lines[0].splitlines()) > 20
    plain, *others = (read_video(tmp_path / f"{name}.mp4") for name in ("plain", "heads", "frame"))
    for other in others:
        assert len(other) == len(plain)
        differences = [np.abs(one.astype(int) - two).max() for one, two in zip(plain, other, strict=True)]
        assert min(differences) > 60


def test_unsupported_blur_is_reported_before_anything_is_written(tmp_path):
    """A model without head keypoints cannot hide heads."""
    hand = load(threads=1)
    object.__setattr__(hand.spec.schema, "groups", {"head": ()})
    source = open_source("samples/park.jpg")
    with pytest.raises(Exception, match="faces would stay visible"):
        Pipeline(
            source, PredictOptions(blur="heads"), RuntimeOptions(), [f"{tmp_path}/a.jpg"],
            open_estimator=lambda *_: hand, report=print, notify=print,
        )  # fmt: skip
    assert list(tmp_path.iterdir()) == []
