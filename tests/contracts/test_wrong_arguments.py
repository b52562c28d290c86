"""Public functions answer wrong types and values with an `E2PoseError` that has a hint, never with a raw error."""

import math
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import e2pose
from e2pose.core.errors import E2PoseError
from e2pose.inference.anonymise import anonymise_image
from e2pose.live.options import PredictOptions
from e2pose.runtimes.options import RuntimeOptions
from e2pose.sinks.threaded import ThreadedSink
from e2pose.sources.images import read_image
from e2pose.sources.prefetch import LatestFrame, Prefetch
from e2pose.zoo.catalogue import resolve_model
from helpers.media import some_persons

pytestmark = pytest.mark.usefixtures("unchecked")  # the checks of types in tests would hide those of the package

VALUES = {
    "None": None, "True": True, "0": 0, "2": 2, "2.0": 2.0, "text 0.3": "0.3", "nan": math.nan, "inf": math.inf,
    "-1": -1, "huge": 10**400, "np.int64(2)": np.int64(2), "np.float32(0.5)": np.float32(0.5), "complex": 1j,
    "bytes": b"", "list": [], "list of None": [None], "dict": {}, "set": {1}, "object": object(), "class": int,
    "function": lambda *_: None, "array": np.zeros(3), "empty text": "", "NUL": "a\0b", "missing": Path("no/such.jpg"),
    "folder": Path(), "pair": (320, 320), "long text": "x" * 5000, "surrogate": "\udcff.jpg",
}  # fmt: skip
COCO = e2pose.load_schema("coco")
IMAGE = np.zeros((48, 64, 3), np.uint8)
FRAME = e2pose.Frame(IMAGE)
POSES = some_persons(2)
SPEC = e2pose.ModelSpec("it", (64, 64), "letterbox", COCO, multiple_of=32)
SHARE = {"0", "np.float32(0.5)"}
FINITE = {"0", "2", "2.0", "-1", "np.int64(2)", "np.float32(0.5)"}


@cache
def estimator():
    return e2pose.load(threads=1)


def draw(frame, poses):
    return frame.image


class Empty:
    """A source without frames."""

    info = None

    def __iter__(self):
        return iter(())

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass


# For each argument: a call with one value, and the values that are accepted.
ARGUMENTS = {
    "open_batch": (e2pose.open_batch, set()),
    "load model": (lambda value: e2pose.load(value, threads=1), set()),
    "load runtime": (lambda value: e2pose.load(runtime=value), {"None"}),
    "load device": (lambda value: e2pose.load(device=value), {"None"}),
    "load precision": (lambda value: e2pose.load(precision=value), {"None"}),
    "load input_size": (lambda value: e2pose.load(input_size=value), {"None", "pair"}),
    "load threads": (lambda value: e2pose.load(threads=value), {"None", "2", "np.int64(2)"}),
    "load allow_fallback": (lambda value: e2pose.load(allow_fallback=value), {"True"}),
    "load threshold": (lambda value: e2pose.load(threshold=value), {"None", *SHARE}),
    "Estimator runtime": (e2pose.Estimator, set()),
    "Estimator threshold": (lambda value: e2pose.Estimator(estimator().runtime, value), {"None", *SHARE}),
    "Estimator num_parallel": (
        lambda value: e2pose.Estimator(estimator().runtime, num_parallel=value), {"2", "np.int64(2)"},
    ),
    "Estimator.open options": (lambda value: e2pose.Estimator.open("default", value), set()),
    "Estimator.open num_images": (
        lambda value: e2pose.Estimator.open("default", num_images=value), {"None", "0", "2", "np.int64(2)"},
    ),
    "estimator image": (lambda value: estimator().batch([value]), set()),
    "estimator.batch images": (lambda value: estimator().batch(value), {"list"}),
    "estimator.with_threshold": (lambda value: estimator().with_threshold(value), {"None", *SHARE}),
    "Affine": (e2pose.Affine, set()),
    "Affine.translation": (lambda value: e2pose.Affine.translation(value, 0), FINITE),
    "Affine.scaling": (e2pose.Affine.scaling, {"2", "2.0", "-1", "np.int64(2)", "np.float32(0.5)"}),
    "Affine.rotation": (e2pose.Affine.rotation, FINITE),
    "Affine.horizontal_flip": (
        e2pose.Affine.horizontal_flip, FINITE,
    ),
    "Affine @": (lambda value: e2pose.Affine.identity() @ value, set()),
    "Affine.apply": (e2pose.Affine.identity().apply, {"pair"}),
    "Frame image": (e2pose.Frame, set()),
    "Frame origin": (lambda value: e2pose.Frame(IMAGE, value), set()),
    "Frame index": (lambda value: e2pose.Frame(IMAGE, index=value), {"0", "2", "np.int64(2)"}),
    "Frame time_s": (
        lambda value: e2pose.Frame(IMAGE, time_s=value), FINITE,
    ),
    "load_schema": (e2pose.load_schema, set()),
    "KeypointSchema.from_names name": (
        lambda value: e2pose.KeypointSchema.from_names(value, ["a"]),
        {"empty text", "text 0.3", "NUL", "long text", "surrogate"},
    ),
    "KeypointSchema.from_names keypoints": (lambda value: e2pose.KeypointSchema.from_names("it", value), set()),
    "KeypointSchema.from_names edges": (
        lambda value: e2pose.KeypointSchema.from_names("it", ["a", "b"], edges=value), {"list"},
    ),
    "KeypointSchema.from_names flip_pairs": (
        lambda value: e2pose.KeypointSchema.from_names("it", ["a", "b"], flip_pairs=value), {"list"},
    ),
    "KeypointSchema.from_names sigmas": (
        lambda value: e2pose.KeypointSchema.from_names("it", ["a", "b"], sigmas=value), {"list"},
    ),
    "KeypointSchema.from_names groups": (
        lambda value: e2pose.KeypointSchema.from_names("it", ["a", "b"], groups=value), {"None", "dict"},
    ),
    "KeypointSchema.from_record": (e2pose.KeypointSchema.from_record, set()),
    "ModelSpec input_size_hw": (lambda value: e2pose.ModelSpec("it", value, "stretch", COCO), {"pair"}),
    "ModelSpec fit": (lambda value: e2pose.ModelSpec("it", (64, 64), value, COCO), set()),
    "ModelSpec schema": (lambda value: e2pose.ModelSpec("it", (64, 64), "stretch", value), set()),
    "ModelSpec threshold": (lambda value: e2pose.ModelSpec("it", (64, 64), "stretch", COCO, value), SHARE),
    "ModelSpec multiple_of": (
        lambda value: e2pose.ModelSpec("it", (64, 64), "letterbox", COCO, multiple_of=value),
        {"None", "2", "np.int64(2)"},
    ),
    "ModelSpec.with_input_size": (SPEC.with_input_size, {"None", "pair"}),
    "ModelSpec.from_json": (e2pose.ModelSpec.from_json, set()),
    "Poses keypoints": (lambda value: e2pose.Poses(value, [], [], COCO), set()),
    "Poses scores": (lambda value: e2pose.Poses(np.zeros((1, 17, 2)), np.zeros((1, 17)), value, COCO), set()),
    "Poses schema": (lambda value: e2pose.Poses(np.zeros((0, 17, 2)), np.zeros((0, 17)), np.zeros(0), value), set()),
    "Poses track_ids": (
        lambda value: e2pose.Poses(np.zeros((1, 17, 2)), np.zeros((1, 17)), np.zeros(1), COCO, value), {"None"},
    ),
    "Poses.empty": (e2pose.Poses.empty, set()),
    "poses[]": (lambda value: POSES[value], {"0", "-1", "list"}),
    "poses.visible": (POSES.visible, FINITE),
    "poses.boxes": (POSES.boxes, FINITE),
    "blur_image image": (lambda value: e2pose.blur_image(value, POSES, "heads"), set()),
    "blur_image poses": (lambda value: e2pose.blur_image(IMAGE, value, "heads"), set()),
    "blur_image region": (lambda value: e2pose.blur_image(IMAGE, POSES, value), set()),
    "blur_image margins_px": (lambda value: e2pose.blur_image(IMAGE, POSES, "heads", margins_px=value),
        {"None", "pair"}),
    "anonymise_image estimator": (lambda value: anonymise_image(value, IMAGE, "heads"), set()),
    "anonymise_image image": (lambda value: anonymise_image(estimator(), value, "heads"), set()),
    "anonymise_image region": (lambda value: anonymise_image(estimator(), IMAGE, value), set()),
    "draw_poses image": (lambda value: e2pose.draw_poses(value, POSES, threshold=0.5), set()),
    "draw_poses poses": (lambda value: e2pose.draw_poses(IMAGE, value, threshold=0.5), set()),
    "draw_poses threshold": (
        lambda value: e2pose.draw_poses(IMAGE, POSES, threshold=value), FINITE,
    ),
    "Tracker threshold": (e2pose.Tracker, SHARE),
    "Tracker memory_s": (lambda value: e2pose.Tracker(memory_s=value), {"2", "2.0", "np.int64(2)", "np.float32(0.5)"}),
    "tracker poses": (lambda value: e2pose.Tracker().update(value, 0), set()),
    "tracker time_s": (
        lambda value: e2pose.Tracker().update(POSES, value), FINITE,
    ),
    "tracker() frame": (lambda value: e2pose.Tracker()(value, POSES), set()),
    "smoother poses": (lambda value: e2pose.Smoother().update(value, 0), set()),
    "smoother time_s": (
        lambda value: e2pose.Smoother().update(some_persons(1, [1]), value),
        FINITE,
    ),
    "smoother() frame": (lambda value: e2pose.Smoother()(value, some_persons(1, [1])), set()),
    "open_source": (e2pose.open_source, {"list"}),
    "open_source on_error": (lambda value: e2pose.open_source([], on_error=value), {"function", "class"}),
    "open_source on_notice": (lambda value: e2pose.open_source([], on_notice=value), {"function", "class"}),
    "open_sink target": (lambda value: e2pose.open_sink(value, draw=draw), {"missing", "folder", "surrogate"}),
    "open_sink draw": (lambda value: e2pose.open_sink("a.mp4", draw=value), {"function", "class"}),
    "open_sink on_notice": (
        lambda value: e2pose.open_sink("a.mp4", draw=draw, on_notice=value), {"function", "class"}
    ),
    "open_sink inputs": (lambda value: e2pose.open_sink("a.mp4", draw=draw, inputs=value), {"list"}),
    "run estimator": (lambda value: e2pose.run(value, Empty()), {"function", "class"}),
    "run source": (lambda value: e2pose.run(draw, value), set()),
    "run stages": (lambda value: e2pose.run(draw, Empty(), value), {"list"}),
    "run sinks": (lambda value: e2pose.run(draw, Empty(), (), value), {"list"}),
    "run on_frame": (lambda value: e2pose.run(draw, Empty(), on_frame=value), {"None", "function", "class"}),
    "run num_parallel": (lambda value: e2pose.run(draw, Empty(), num_parallel=value), {"2", "np.int64(2)"}),
    "evaluate estimator": (lambda value: e2pose.evaluate(value, "no.json", "."), set()),
    "evaluate annotations": (lambda value: e2pose.evaluate(draw, value, "."), set()),
    "evaluate images_folder": (lambda value: e2pose.evaluate(draw, "no.json", value), set()),
    "evaluate threshold": (lambda value: e2pose.evaluate(draw, "no.json", ".", threshold=value), set()),
    "evaluate limit": (lambda value: e2pose.evaluate(draw, "no.json", ".", limit=value), set()),
    "evaluate protocol": (lambda value: e2pose.evaluate(draw, "no.json", ".", protocol=value), set()),
    "evaluate schema": (lambda value: e2pose.evaluate(draw, "no.json", ".", schema=value), set()),
    "evaluate category": (lambda value: e2pose.evaluate(draw, "no.json", ".", category=value), set()),
    "RuntimeOptions runtime": (RuntimeOptions, {"None"}),
    "PredictOptions model": (lambda value: PredictOptions(model=value), set()),
    "PredictOptions threshold": (lambda value: PredictOptions(threshold=value), {"None", *SHARE}),
    "PredictOptions keypoint_threshold": (lambda value: PredictOptions(keypoint_threshold=value), {"None", *SHARE}),
    "PredictOptions blur": (lambda value: PredictOptions(blur=value), {"None"}),
    "PredictOptions track": (lambda value: PredictOptions(track=value), {"True"}),
    "Prefetch source": (Prefetch, set()),
    "Prefetch depth": (lambda value: Prefetch(Empty(), value), {"2", "np.int64(2)"}),
    "LatestFrame source": (LatestFrame, set()),
    "ThreadedSink sink": (ThreadedSink, set()),
    "ThreadedSink depth": (lambda value: ThreadedSink(e2pose.open_sink("a.mp4", draw=draw), value),
        {"2", "np.int64(2)"}),
    "read_image": (read_image, set()),
    "resolve_model": (resolve_model, {"missing", "folder"}),
}  # fmt: skip


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("argument", ARGUMENTS)
def test_wrong_values_are_errors_with_hints(argument):
    call, accepted = ARGUMENTS[argument]
    problems = []
    for name, value in VALUES.items():
        try:
            call(value)
        except E2PoseError as error:
            if name in accepted:
                problems.append(f"{name}: rejected: {error}")
            elif not error.hint or len(error.message) > 400 or "\n" in error.message:
                problems.append(f"{name}: no hint, or not a line: {error.message[:200]!r}")
        except IndexError:  # required by Python's protocol of iteration
            if argument != "poses[]":
                raise
        except Exception as error:
            problems.append(f"{name}: raw {type(error).__name__}: {str(error)[:80]}")
        else:
            if name not in accepted:
                problems.append(f"{name}: accepted")
    assert not problems, "\n".join(problems)


def test_every_public_name_is_in_the_table():
    tested = " ".join(ARGUMENTS).lower()
    names = set(e2pose.__all__) - {"__version__", "E2PoseError"}
    assert [name for name in names if name.lower() not in tested] == []
    assert len(ARGUMENTS) * len(VALUES) >= 2000


ARRAYS = {
    "grey": np.zeros((9, 9), np.uint8), "one channel": np.zeros((9, 9, 1), np.uint8),
    "RGBA": np.zeros((9, 9, 4), np.uint8), "batch": np.zeros((2, 9, 9, 3), np.uint8),
    "channels first": np.zeros((3, 9, 9), np.uint8), "empty": np.zeros((0, 9, 3), np.uint8),
    "float16": np.zeros((9, 9, 3), np.float16), "float64": np.zeros((9, 9, 3)), "int64": np.zeros((9, 9, 3), np.int64),
    "uint16": np.zeros((9, 9, 3), np.uint16), "bool": np.zeros((9, 9, 3), bool), "text": np.full((9, 9, 3), "a"),
    "objects": np.full((9, 9, 3), None), "structured": np.zeros((9, 9, 3), [("x", "u1")]), "scalar": np.array(0),
    "list": np.zeros((9, 9, 3), np.uint8).tolist(), }  # fmt: skip
IMAGE_ARGUMENTS = [name for name in ARGUMENTS if "image" in name.split()[-1] and "folder" not in name]


@pytest.mark.parametrize("argument", IMAGE_ARGUMENTS)
@pytest.mark.parametrize("kind", ARRAYS)
def test_other_arrays_are_no_images(argument, kind):
    if (kind, argument) == ("batch", "estimator.batch images"):
        assert len(estimator().batch(ARRAYS[kind])) == 2
        return
    with pytest.raises(E2PoseError) as caught:
        ARGUMENTS[argument][0](ARRAYS[kind])
    assert caught.value.hint


@pytest.mark.parametrize("image", [
    IMAGE[::2, ::-1], np.asfortranarray(IMAGE), np.broadcast_to(np.uint8(3), (9, 9, 3)), IMAGE.view(np.ndarray),
], ids=["strided", "Fortran order", "broadcast", "view"])  # fmt: skip
def test_every_memory_layout_is_an_image(image):
    assert len(estimator()(image)) == 0
    assert e2pose.draw_poses(image, POSES, threshold=0.5).shape == image.shape
    assert e2pose.blur_image(image, POSES, "bodies").shape == image.shape
