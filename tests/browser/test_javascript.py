"""Geometry, decoding and tracking of the page in Node, compared with Python."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from e2pose.core.candidates import Candidates
from e2pose.core.poses import Poses
from e2pose.core.schema import load_schema
from e2pose.core.spec import ModelSpec
from e2pose.formats.jsonl import to_json_persons
from e2pose.inference.decode import decode
from e2pose.inference.preprocess import preprocess
from e2pose.tracking.smoothing import Smoother

STATIC = Path(__file__).parents[2] / "src" / "e2pose" / "serve" / "static"
COCO = load_schema("coco")
SIZES_HW = [(480, 640), (720, 1280), (1920, 1080), (37, 501), (320, 320), (1, 1), (333, 500)]
SPECS = [
    ModelSpec("letterbox", (320, 320), "letterbox", COCO, threshold=0.5, multiple_of=32),
    ModelSpec("fixed", (256, 192), "letterbox", COCO, threshold=0.5),
    ModelSpec("stretch", (512, 512), "stretch", COCO, threshold=0.5, keypoint_score_scale=2.0),
]


@pytest.fixture
def run_node(tmp_path: Path):
    """Runs a script that imports the page's modules, with JSON as input and output."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node.js is not installed")
    for module in ("anonymise", "decode", "track"):
        shutil.copy(STATIC / f"{module}.js", tmp_path / f"{module}.mjs")

    def run(script: str, value: object) -> object:
        prelude = 'import { readFileSync } from "node:fs";\nconst input = JSON.parse(readFileSync(0, "utf-8"));\n'
        (tmp_path / "script.mjs").write_text(prelude + script)
        command = [node, "script.mjs"]
        done = subprocess.run(
            command, input=json.dumps(value), cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def to_record(spec: ModelSpec) -> dict:
    return {
        "input_size_hw": spec.input_size_hw,
        "fit": spec.fit,
        "multiple_of": spec.multiple_of,
        "keypoint_score_scale": spec.keypoint_score_scale,
        "keypoints": spec.schema.keypoints,
        "sigmas": spec.schema.sigmas,
    }


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_persons_equal_those_of_python(spec: ModelSpec, run_node) -> None:
    random = np.random.default_rng(7)
    cases, expected = [], []
    for height, width in SIZES_HW:
        batch = preprocess([np.zeros((height, width, 3), np.uint8)], spec)
        count = 6
        candidates = Candidates(
            scores=-np.sort(-random.random((1, count), np.float32)),
            keypoint_scores=random.random((1, count, 17), np.float32),
            keypoints=random.random((1, count, 17, 2), np.float32) * 1.2 - 0.1,
        )
        (poses,) = decode(candidates, batch, spec)
        expected.append((batch.size_hw, to_json_persons(poses)))
        arrays = {name: getattr(candidates, name)[0].ravel().tolist() for name in vars(candidates)}
        cases.append({"width": width, "height": height, "outputs": arrays})
    found = run_node(
        """
        import { decode, fitInput, toRecord } from "./decode.mjs";
        console.log(JSON.stringify(input.cases.map(({ width, height, outputs }) => {
          const fit = fitInput(width, height, input.spec);
          const persons = decode(outputs, fit, input.spec, input.threshold).map((p) => toRecord(p, input.spec));
          return { size_hw: [fit.inputHeight, fit.inputWidth], persons };
        })));
        """,
        {"spec": to_record(spec), "threshold": spec.threshold, "cases": cases},
    )
    for result, (size_hw, persons) in zip(found, expected, strict=True):
        assert tuple(result["size_hw"]) == size_hw
        assert [list(person) for person in result["persons"]] == [list(person) for person in persons]
        for one, other in zip(result["persons"], persons, strict=True):
            assert list(one["keypoints"]) == list(other["keypoints"])
            np.testing.assert_allclose(list(one["keypoints"].values()), list(other["keypoints"].values()), atol=0.0101)
            np.testing.assert_allclose([one["score"], *one["box"]], [other["score"], *other["box"]], atol=0.0201)


def test_keypoints_that_are_not_finite_become_null(run_node) -> None:
    spec = {**to_record(SPECS[0]), "keypoints": ["a", "b"]}
    person = run_node(
        """
        import { scaleRecord, toRecord } from "./decode.mjs";
        const points = [[1, 2, 0.5], [NaN, Infinity, 0.5]];
        console.log(JSON.stringify(scaleRecord(toRecord({ score: 1, points }, input), 2)));
        """,
        spec,
    )
    assert person == {"score": 1, "box": [2, 4, 0, 0], "keypoints": {"a": [2, 4, 0.5], "b": [None, None, 0.5]}}


def test_rgba_pixels_become_planes(run_node) -> None:
    script = """
    import { toPlanes } from "./decode.mjs";
    console.log(JSON.stringify(Array.from(toPlanes(Uint8Array.from(input)))));
    """
    assert run_node(script, [1, 2, 3, 255, 4, 5, 6, 255]) == [1, 4, 2, 5, 3, 6]


TRACK = """
import { Smoother, Tracker } from "./track.mjs";
const [tracker, smoother] = [new Tracker(), new Smoother()];
console.log(JSON.stringify(input.frames.map((persons, index) => {
  const time = index / 20;
  const tracked = tracker.update(persons.map((points) => ({ score: 1, points })), time, input.sigmas);
  return smoother.update(tracked, time, input.sigmas);
})));
"""


def walking_persons(num_frames: int, noise: float, speed: float = 6) -> np.ndarray:
    """Two persons who walk past each other, at different distances: (frames, persons, keypoints, 3)."""
    random = np.random.default_rng(3)
    body = random.random((17, 2)) * [60, 160]
    steps = np.arange(num_frames)[:, None]
    centers = np.stack([[100, 100] + steps * [speed, 0], [400, 220] - steps * [speed, 0]], axis=1)
    points = centers[:, :, None] + body + random.normal(0, noise, (num_frames, 2, 17, 2))
    return np.concatenate([points, np.full((num_frames, 2, 17, 1), 0.9)], axis=-1)


def test_ids_stay_with_persons_who_pass_each_other(run_node) -> None:
    frames = walking_persons(50, noise=1)
    order = [frame[:: 1 if index % 2 else -1].tolist() for index, frame in enumerate(frames)]
    results = run_node(TRACK, {"frames": order, "sigmas": COCO.sigmas})
    ids = [[person["trackId"] for person in result[:: 1 if index % 2 else -1]] for index, result in enumerate(results)]
    assert all(found == ids[0] for found in ids)
    assert len(set(ids[0])) == 2


def test_new_person_gets_a_new_id_and_a_short_absence_keeps_the_id(run_node) -> None:
    one, other = (frames.tolist() for frames in walking_persons(1, noise=0)[0][:, None])
    results = run_node(TRACK, {"frames": [one, [], one, [*one, *other]], "sigmas": COCO.sigmas})
    assert [[person["trackId"] for person in result] for result in results] == [[1], [], [1], [1, 2]]


ANONYMISE = """
import { Anonymiser } from "./anonymise.mjs";
const anonymiser = new Anonymiser();
const results = input.frames.map(([time, persons]) => anonymiser.divide(persons, time, input.settings));
const ids = (persons) => persons.map((person) => person.track_id ?? null).sort();
console.log(JSON.stringify({
  engine: Anonymiser.engineSettings(input.settings),
  frames: results.map(({ shown, blurred }) => [ids(shown), ids(blurred), shown.length, blurred.length]),
}));
"""


def to_persons(**scores: float) -> list[dict]:
    return [{"track_id": int(name[1:]), "score": score} for name, score in scores.items()]


def test_uncertain_and_missed_persons_are_blurred_but_not_shown(run_node) -> None:
    frames = [
        [0.0, to_persons(p1=0.9, p2=0.3)],  # the second was never shown
        [0.1, to_persons(p1=0.3)],  # a shown person is kept down to half the threshold, as by the tracker
        [0.9, to_persons(p1=0.2)],
        [1.2, []],  # the second was last detected 1.2 s ago, the first 0.3 s
        [2.0, []],
    ]
    settings = {"blur": "heads", "threshold": 0.5, "track": True}
    results = run_node(ANONYMISE, {"frames": frames, "settings": settings})
    assert results["engine"] == {"blur": "heads", "threshold": 0.25, "track": True}
    assert [frame[:2] for frame in results["frames"]] == [
        [[1], [1, 2]],
        [[1], [1, 2]],
        [[], [1, 2]],
        [[], [1]],
        [[], []],
    ]


def test_blur_without_tracking_shows_no_ids_and_the_threshold_holds(run_node) -> None:
    settings = {"blur": "bodies", "threshold": 0.5, "track": False}
    frames = [[0.0, to_persons(p1=0.9)], [0.1, to_persons(p1=0.3)]]
    results = run_node(ANONYMISE, {"frames": frames, "settings": settings})
    assert results["frames"] == [[[None], [1], 1, 1], [[], [1], 0, 1]]


def test_persons_of_a_single_image_are_blurred_without_ids(run_node) -> None:
    frames = [[0.0, [{"score": 0.9}, {"score": 0.3}]], [0.0, [{"score": 0.9}]]]
    settings = {"blur": "heads", "threshold": 0.5, "track": True}
    results = run_node(ANONYMISE, {"frames": frames, "settings": settings})
    assert [frame[2:] for frame in results["frames"]] == [[1, 2], [1, 1]]


def test_without_blur_the_engine_and_the_persons_are_unchanged(run_node) -> None:
    settings = {"blur": "", "threshold": 0.5, "track": False}
    results = run_node(ANONYMISE, {"frames": [[0.0, to_persons(p1=0.9)]], "settings": settings})
    assert results == {"engine": settings, "frames": [[[1], [], 1, 0]]}


@pytest.mark.parametrize("speed", [0, 0.5, 6])
def test_smoothing_equals_that_of_python(speed: float, run_node) -> None:
    frames = walking_persons(60, noise=2, speed=speed)
    results = run_node(TRACK, {"frames": frames.tolist(), "sigmas": COCO.sigmas})
    smoother = Smoother()
    for index, (frame, result) in enumerate(zip(frames.astype(np.float32), results, strict=True)):
        ids = np.array([1, 2], np.int64)
        poses = Poses(frame[..., :2], frame[..., 2], np.ones(2, np.float32), COCO, track_ids=ids)
        shown = np.array([person["points"] for person in result])[..., :2]
        np.testing.assert_allclose(shown, smoother.update(poses, index / 20).keypoints, atol=1e-3)
