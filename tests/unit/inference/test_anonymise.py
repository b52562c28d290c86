"""Persons stay blurred where the model misses them, and the outputs hold the same persons as without blur."""

import itertools
from fractions import Fraction

import numpy as np
import pytest

from e2pose.core.candidates import Candidates
from e2pose.core.errors import InputError
from e2pose.core.frame import Frame, Origin
from e2pose.core.poses import Poses
from e2pose.core.schema import KeypointSchema, load_schema
from e2pose.core.spec import ModelSpec
from e2pose.inference.anonymise import BlurSink, BlurThresholds, PersonsToBlur, anonymise_image
from e2pose.inference.estimator import Estimator

COCO = load_schema("coco")
THRESHOLDS = BlurThresholds(output=0.4, blurred=0.2, known=0.1)
STANDING = np.float32(
    [[0, 0], [4, -4], [-4, -4], [8, -2], [-8, -2], [16, 20], [-16, 20], [20, 40], [-20, 40], [20, 60], [-20, 60],
     [10, 70], [-10, 70], [10, 100], [-10, 100], [10, 130], [-10, 130]]
)  # fmt: skip
NOISE = np.random.default_rng(0).choice(np.uint8([0, 255]), (240, 640, 1)).repeat(3, axis=2)
VIDEO = Origin("clip.mp4", rate=Fraction(25))


def persons(*positions_and_scores):
    """Poses with noses at (x, 40), given as pairs of x and score."""
    points = [STANDING + np.float32([x, 40]) for x, _ in positions_and_scores]
    scores = np.float32([score for _, score in positions_and_scores])
    keypoints = np.float32(points).reshape(-1, 17, 2)
    return Poses(keypoints, np.ones(keypoints.shape[:2], np.float32), scores, COCO)


class Recorder:
    """A sink that stores what it receives and how it is exited."""

    def __init__(self):
        self.frames, self.poses, self.exits = [], [], []

    def write(self, frame, poses):
        self.frames.append(frame)
        self.poses.append(poses)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        self.exits.append(error)


def blur(detections, *, lookahead_s=0.0, images=None):
    """Runs the blur over the detections of consecutive frames at 25 frames per second."""
    recorder = Recorder()
    stage = PersonsToBlur(lambda: THRESHOLDS)
    with BlurSink(recorder, stage, "heads", lookahead_s=lookahead_s) as sink:
        for index, (poses, image) in enumerate(zip(detections, images or itertools.repeat(NOISE), strict=False)):
            frame = Frame(image, VIDEO, index, index / 25)
            sink.write(frame, stage(frame, poses))
    return recorder


def covered(frame, x, image=NOISE):
    """Share of the head at (x, 40) that differs from the original."""
    changed = (frame.image != image).any(axis=2)
    return changed[32:48, round(x) - 8 : round(x) + 8].mean()


def walk(count, *, missing=(), speed=6.0, score=0.9):
    """A person who walks to the right and is not detected in some frames."""
    return [persons() if i in missing else persons((100 + speed * i, score)) for i in range(count)]


def test_stages_receive_the_poses_of_the_usual_threshold():
    recorder = blur([persons((100, 0.9), (200, 0.41), (300, 0.39), (400, 0.11))] * 3)
    for poses in recorder.poses:
        np.testing.assert_array_equal(poses.scores, np.float32([0.9, 0.41]))
        np.testing.assert_array_equal(poses.keypoints[:, 0, 0], [100, 200])
        assert poses.track_ids is None


def test_persons_are_blurred_down_to_half_the_threshold():
    frame = blur([persons((100, 0.21), (300, 0.19))]).frames[0]
    assert covered(frame, 100) > 0.95
    assert covered(frame, 300) == 0


def test_known_persons_are_blurred_down_to_a_quarter_of_the_threshold():
    frames = blur([persons((100, 0.3)), persons((102, 0.11)), persons((104, 0.11))]).frames
    assert all(covered(frame, 100 + 2 * index) > 0.95 for index, frame in enumerate(frames))


def test_missed_person_stays_blurred_where_it_is_predicted():
    frames = blur(walk(20, missing=range(10, 16))).frames
    assert all(covered(frame, 100 + 6 * index) > 0.9 for index, frame in enumerate(frames))


def test_person_is_forgotten_after_a_second():
    frames = blur(walk(60, missing=range(5, 60), speed=0)).frames
    assert covered(frames[5 + 24], 100) > 0.95
    assert covered(frames[5 + 26], 100) == 0


def test_lookahead_interpolates_where_a_prediction_fails():
    """A person runs to the right, is missed for five frames, and stands still at the place where it vanished."""
    positions = [*range(100, 340, 12), *[328] * 20]
    detections = [persons() if 20 <= i < 26 else persons((x, 0.9)) for i, x in enumerate(positions)]
    assert min(covered(frame, 328) for frame in blur(detections).frames[20:26]) < 0.5
    assert min(covered(frame, 328) for frame in blur(detections, lookahead_s=0.5).frames[20:26]) > 0.9


def test_lookahead_extends_a_new_person_backwards():
    detections = walk(30, missing=range(20), speed=0.5)
    assert covered(blur(detections).frames[15], 107.5) == 0
    frames = blur(detections, lookahead_s=0.5).frames
    assert covered(frames[12], 106) > 0.9
    assert covered(frames[5], 102.5) == 0, "longer before than the lookahead"


@pytest.mark.parametrize("lookahead_s", [0.0, 0.5])
def test_frames_keep_order_times_and_poses(lookahead_s):
    detections = walk(40, missing=(3, 4, 20))
    recorder = blur(detections, lookahead_s=lookahead_s)
    assert [frame.index for frame in recorder.frames] == list(range(40))
    assert [frame.time_s for frame in recorder.frames] == [index / 25 for index in range(40)]
    assert [len(poses) for poses in recorder.poses] == [len(poses) for poses in detections]
    assert recorder.exits == [None]


def test_lookahead_delays_frames_by_its_duration_only():
    recorder, stage = Recorder(), PersonsToBlur(lambda: THRESHOLDS)
    sink = BlurSink(recorder, stage, "heads", lookahead_s=0.19)
    for index in range(10):
        frame = Frame(NOISE, VIDEO, index, index / 25)
        sink.write(frame, stage(frame, persons()))
        assert len(recorder.frames) == max(0, index - 4)


def test_large_frames_wait_only_as_far_as_memory_allows(monkeypatch):
    monkeypatch.setattr("e2pose.inference.anonymise._MAX_PENDING_BYTES", 3 * NOISE.nbytes)
    recorder, stage = Recorder(), PersonsToBlur(lambda: THRESHOLDS)
    sink = BlurSink(recorder, stage, "heads", lookahead_s=10)
    for index in range(5):
        frame = Frame(NOISE, VIDEO, index, index / 25)
        sink.write(frame, stage(frame, persons()))
    assert len(recorder.frames) == 2


def test_scene_cut_ends_blurred_positions():
    other = np.random.default_rng(1).integers(0, 255, (12, 32, 3), np.uint8).repeat(20, axis=0).repeat(20, axis=1)
    first = np.full_like(NOISE, 200)
    first[:, :320] = 30
    images = [first] * 5 + [other] * 5
    detections = [persons((100, 0.9))] * 5 + [persons((400, 0.9))] * 5
    frames = blur(detections, lookahead_s=0.5, images=images).frames
    assert covered(frames[6], 100, other) == 0
    assert covered(frames[4], 400, first) == 0


def test_other_keypoints_start_anew():
    pair = KeypointSchema.from_names("pair", ["nose", "left_ear", "left_shoulder"])
    poses = Poses(np.float32([[[10, 10], [20, 10], [15, 30]]]), np.ones((1, 3), np.float32), np.float32([0.9]), pair)
    assert len(blur([persons((100, 0.9)), poses, persons((100, 0.9))]).frames) == 3


@pytest.mark.parametrize(("error", "count"), [(InputError("damaged", "copy it"), 5), (ZeroDivisionError(), 0)])
def test_waiting_frames_are_written_unless_the_run_is_faulty(error, count):
    recorder, stage = Recorder(), PersonsToBlur(lambda: THRESHOLDS)
    with pytest.raises(type(error)), BlurSink(recorder, stage, "heads", lookahead_s=10) as sink:
        for index in range(5):
            frame = Frame(NOISE, VIDEO, index, index / 25)
            sink.write(frame, stage(frame, persons((100, 0.9))))
        raise error
    assert len(recorder.frames) == count
    assert recorder.exits == [error]


def test_error_of_the_inner_sink_is_passed_on_and_ends_it():
    class Full(Recorder):
        def write(self, frame, poses):
            raise InputError("full", "delete files")

    recorder, stage = Full(), PersonsToBlur(lambda: THRESHOLDS)
    with pytest.raises(InputError, match="full"), BlurSink(recorder, stage, "heads", lookahead_s=10) as sink:
        frame = Frame(NOISE, VIDEO)
        sink.write(frame, stage(frame, persons()))
    assert [str(error) for error in recorder.exits] == ["full"]


@pytest.mark.parametrize(("threshold", "output", "expected"), [
    (0.4, 0.4, (0.4, 0.2, 0.1)), (0.4, 0.2, (0.2, 0.2, 0.1)), (0.9, 0.9, (0.9, 0.2, 0.1)),
    (0.1, 0.1, (0.1, 0.05, 0.025)), (0.8, 0.05, (0.05, 0.2, 0.05)),
])  # fmt: skip
def test_high_thresholds_of_outputs_do_not_reduce_the_blur(threshold, output, expected):
    spec = ModelSpec("it", (64, 64), "letterbox", COCO, threshold=0.4)
    assert BlurThresholds.of(threshold, spec, output=output) == pytest.approx(expected)


def test_single_image_is_blurred_down_to_half_the_threshold():
    scores = np.float32([[0.3, 0.19]])
    points = np.stack([STANDING + np.float32([100, 40]), STANDING + np.float32([300, 40])])[None] / np.float32(
        [640, 240]
    )

    class Finder:
        spec = ModelSpec("it", NOISE.shape[:2], "stretch", COCO, threshold=0.4)
        description = ""

        def __call__(self, pixels):
            return Candidates(scores, np.ones((1, 2, 17), np.float32), points.astype(np.float32))

    frame = Frame(anonymise_image(Estimator(Finder()), NOISE, "heads"))
    assert covered(frame, 100) > 0.95
    assert covered(frame, 300) == 0
