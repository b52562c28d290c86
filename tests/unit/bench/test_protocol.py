import json

import pytest

from e2pose.bench.protocol import end_request, frame_request, one_line, read_answer, read_farewell, read_hello
from e2pose.core.errors import PeerError

HELLO = {
    "hello": 1,
    "name": "Made",
    "version": "1",
    "licence": "MIT",
    "runtime": "none",
    "precision": "f32",
    "threads": 2,
    "weights": [{"file": "a.onnx", "sha256": "0" * 64}],
    "random_weights": False,
    "people": "many",
    "keypoints": ["nose", "left_eye"],
}
ANSWER = {
    "frame": 7,
    "poses": [{"score": 0.9, "keypoints": [[1, 2.5, 0.5], [3, 4, 1]]}],
    "ms": {"preprocess": 1, "network": 30.5, "postprocess": 0},
}


def line(record: object) -> bytes:
    return json.dumps(record).encode() + b"\n"


def test_what_is_said_is_read(tmp_path) -> None:
    hello = read_hello(line({**HELLO, "colour": "blue"}))
    assert (hello.name, hello.note, hello.weights[0].file) == ("Made", "", "a.onnx")
    answer = read_answer(line(ANSWER), 7, 2)
    assert answer.poses[0].keypoints == ((1, 2.5, 0.5), (3, 4, 1))
    assert answer.ms.total == 31.5
    assert read_answer(line({**ANSWER, "poses": []}), 7, 2).poses == ()
    assert read_farewell(line({"end": True, "peak_memory_mb": 3})).peak_memory_mb == 3


def test_requests_are_one_line_each(tmp_path) -> None:
    request = frame_request(7, tmp_path / 'new\nline".npy')
    assert request.count(b"\n") == 1
    assert json.loads(request) == {"frame": 7, "path": str(tmp_path / 'new\nline".npy')}
    assert end_request() == b'{"end": true}\n'


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"hello": 2}, "hello: Input should be 1"),
        ({"licence": None}, "licence: "),
        ({"threads": "2"}, "threads: Input should be a valid integer"),
        ({"people": "some"}, "people: "),
        ({"keypoints": []}, "keypoints: "),
        ({"keypoints": ["nose", "nose"]}, "names a keypoint twice"),
        ({"weights": [{"file": "a", "sha256": "123"}]}, "weights.0.sha256: "),
        ({"name": ""}, "name: "),
        ({"error": "no weights\n here"}, "no weights here"),
        ({"error": " "}, "without a word"),
    ],
)
def test_wrong_hello(change, says: str) -> None:
    with pytest.raises(PeerError) as caught:
        read_hello(line({**HELLO, **change}))
    assert says in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("said", "says"),
    [
        (line({**ANSWER, "frame": 8}), "asked about frame 7 and answered about frame 8"),
        (line({**ANSWER, "poses": [{"score": 1, "keypoints": [[1, 2, 3]]}]}), "1 keypoints, but its hello names 2"),
        (line(ANSWER).replace(b"2.5", b"NaN"), "poses.0.keypoints.0.1: Input should be a finite number"),
        (line(ANSWER).replace(b"0.9", b"Infinity"), "poses.0.score: Input should be a finite number"),
        (line(ANSWER).replace(b"30.5", b"-30.5"), "ms.network: "),
        (line(ANSWER).replace(b"2.5, ", b""), "poses.0.keypoints.0.2: Field required"),
        (line(ANSWER).replace(b"0.9", b'"0.9"'), "poses.0.score: Input should be a valid number"),
        (b"Downloading \x1b[32m...\n", "its answer to frame 7 is not JSON: 'Downloading [32m...'"),
        (b"\xff\xfe\n", "is not JSON"),
        (b"[" * 100_000 + b"\n", "is not JSON"),
        (b"[1]\n", "its answer to frame 7 is wrong"),
    ],
)
def test_wrong_answer(said: bytes, says: str) -> None:
    with pytest.raises(PeerError) as caught:
        read_answer(said, 7, 2)
    assert says in caught.value.message
    assert caught.value.message.isprintable()


@pytest.mark.parametrize(
    "record", [{"end": False, "peak_memory_mb": 1}, {"end": True}, {"end": True, "peak_memory_mb": 0}]
)
def test_wrong_farewell(record) -> None:
    with pytest.raises(PeerError, match="its last line is wrong"):
        read_farewell(line(record))


def test_texts_are_cut_to_a_line() -> None:
    assert one_line("a\n\tb\x1b c") == "a b c"
    assert one_line("x" * 500, 10) == "x" * 9 + "…"
