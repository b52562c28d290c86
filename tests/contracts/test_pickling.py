"""Estimators and results pass between processes."""

import copy
import multiprocessing
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from e2pose.core.affine import Affine
from e2pose.core.errors import ModelError
from e2pose.core.frame import Frame, Origin
from e2pose.core.schema import load_schema
from e2pose.core.spec import ModelSpec
from e2pose.inference.estimator import load
from helpers.media import some_persons

IMAGE = "samples/balance.jpg"
COPIES = {"pickle": lambda value: pickle.loads(pickle.dumps(value)), "deepcopy": copy.deepcopy, "copy": copy.copy}


def assert_equal(first, second):
    for name in ("keypoints", "keypoint_scores", "scores"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    assert first.schema == second.schema


@pytest.mark.parametrize("kind", COPIES)
@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino", "torch"])
def test_copied_estimator_finds_the_same_poses(runtime, kind):
    estimator = load("default", runtime=runtime, threads=2, threshold=0.3, input_size=(224, 224))
    copied = COPIES[kind](estimator)
    assert (copied.threshold, copied.num_parallel, copied.spec) == (0.3, 1, estimator.spec)
    assert copied.description == estimator.description
    assert len(estimator(IMAGE)) > 0
    assert_equal(copied(IMAGE), estimator(IMAGE))


def test_estimator_works_in_a_spawned_process():
    estimator = load(threads=1)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert_equal(pool.map(estimator, [IMAGE])[0], estimator(IMAGE))


def test_estimator_of_a_relative_path_is_found_from_another_folder(tmp_path, tiny_model, monkeypatch):
    shutil.copy(tiny_model, tmp_path / "tiny.onnx")
    monkeypatch.chdir(tmp_path)
    stored = pickle.dumps(load("tiny.onnx", threads=1))
    monkeypatch.chdir("/")
    white = np.full((40, 60, 3), 255, np.uint8)
    assert len(pickle.loads(stored)(white)) == 1
    Path(tmp_path / "tiny.onnx").unlink()
    with pytest.raises(ModelError, match=r"tiny\.onnx' does not exist"):
        pickle.loads(stored)


@pytest.mark.parametrize("kind", COPIES)
def test_results_and_descriptions_are_equal_after_copying(kind):
    make_copy = COPIES[kind]
    poses = some_persons(3, np.int64([5, 6, 7]))
    copied = make_copy(poses)
    assert_equal(copied, poses)
    np.testing.assert_array_equal(copied.track_ids, poses.track_ids)
    assert not copied.keypoints.flags.writeable
    schema = load_schema("crowdpose")
    assert make_copy(schema) == schema
    spec = ModelSpec("it", (64, 64), "letterbox", schema, multiple_of=32)
    assert make_copy(spec) == spec
    frame = Frame(np.arange(24, dtype=np.uint8).reshape(2, 4, 3), Origin("a.jpg", Path("a.jpg")), 3, 0.5)
    other = make_copy(frame)
    np.testing.assert_array_equal(other.image, frame.image)
    assert (other.origin, other.index, other.time_s) == (frame.origin, 3, 0.5)
    affine = make_copy(Affine.rotation(30))
    np.testing.assert_array_equal(affine.matrix, Affine.rotation(30).matrix)
    assert not affine.matrix.flags.writeable
