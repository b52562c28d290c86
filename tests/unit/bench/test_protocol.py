import json

import pytest

from e2pose.bench.protocol import (
    STOP_REQUEST,
    frame_request,
    parse_handshake,
    parse_response,
    parse_result,
    to_one_line,
)
from e2pose.core.errors import PeerError

HANDSHAKE = {
    "handshake": 2,
    "name": "Fake",
    "version": "1",
    "licence": "MIT",
    "runtime": "none",
    "precision": "f32",
    "threads": 2,
    "weights": [{"file": "a.onnx", "sha256": "0" * 64}],
    "random_weights": False,
    "multi_person": True,
    "keypoints": ["nose", "left_eye"],
}
RESPONSE = {
    "frame": 7,
    "poses": [{"score": 0.9, "keypoints": [[1, 2.5, 0.5], [3, 4, 1]]}],
    "ms": {"preprocess": 1, "network": 30.5, "postprocess": 0},
}


def to_line(record: object) -> bytes:
    return json.dumps(record).encode() + b"\n"


def test_valid_messages_are_parsed() -> None:
    handshake = parse_handshake(to_line({**HANDSHAKE, "colour": "blue"}))
    assert (handshake.name, handshake.note, handshake.weights[0].file) == ("Fake", "", "a.onnx")
    response = parse_response(to_line(RESPONSE), 7, 2)
    assert response.poses[0].keypoints == ((1, 2.5, 0.5), (3, 4, 1))
    assert parse_response(to_line({**RESPONSE, "poses": []}), 7, 2).poses == ()
    assert parse_result(to_line({"result": True, "peak_memory_mb": 3})).peak_memory_mb == 3


def test_total_time_is_the_sum_of_all_stages() -> None:
    times = {"preprocess": 1, "network": 30.5, "postprocess": 4}
    assert parse_response(to_line({**RESPONSE, "ms": times}), 7, 2).ms.total == 35.5


def test_requests_are_single_lines(tmp_path) -> None:
    request = frame_request(7, tmp_path / 'new\nline".npy')
    assert request.count(b"\n") == 1
    assert json.loads(request) == {"frame": 7, "path": str(tmp_path / 'new\nline".npy')}
    assert json.loads(STOP_REQUEST) == {"stop": True}
    assert STOP_REQUEST.endswith(b"\n")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"handshake": 1}, "handshake: Input should be 2"),
        ({"licence": None}, "licence: "),
        ({"threads": "2"}, "threads: Input should be a valid integer"),
        ({"multi_person": "yes"}, "multi_person: "),
        ({"keypoints": []}, "keypoints: "),
        ({"keypoints": ["nose", "nose"]}, "a keypoint name is repeated"),
        ({"weights": [{"file": "a", "sha256": "123"}]}, "weights.0.sha256: "),
        ({"name": ""}, "name: "),
        ({"error": "no weights\n here"}, "no weights here"),
        ({"error": " "}, "without a message"),
    ],
)
def test_invalid_handshake_is_reported(change, message: str) -> None:
    with pytest.raises(PeerError) as caught:
        parse_handshake(to_line({**HANDSHAKE, **change}))
    assert message in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (to_line({**RESPONSE, "frame": 8}), "the response to frame 7 is about frame 8"),
        (
            to_line({**RESPONSE, "poses": [{"score": 1, "keypoints": [[1, 2, 3]]}]}),
            "1 keypoints, but the handshake names 2",
        ),
        (to_line(RESPONSE).replace(b"2.5", b"NaN"), "poses.0.keypoints.0.1: Input should be a finite number"),
        (to_line(RESPONSE).replace(b"0.9", b"Infinity"), "poses.0.score: Input should be a finite number"),
        (to_line(RESPONSE).replace(b"30.5", b"-30.5"), "ms.network: "),
        (to_line(RESPONSE).replace(b"2.5, ", b""), "poses.0.keypoints.0.2: Field required"),
        (to_line(RESPONSE).replace(b"0.9", b'"0.9"'), "poses.0.score: Input should be a valid number"),
        (b"Downloading \x1b[32m...\n", "the response to frame 7 is not JSON: 'Downloading [32m...'"),
        (b"\xff\xfe\n", "is not JSON"),
        (b"[" * 100_000 + b"\n", "is not JSON"),
        (b"[1]\n", "the response to frame 7 is invalid"),
    ],
)
def test_invalid_response_is_reported(line: bytes, message: str) -> None:
    with pytest.raises(PeerError) as caught:
        parse_response(line, 7, 2)
    assert message in caught.value.message
    assert caught.value.message.isprintable()


@pytest.mark.parametrize(
    "record", [{"result": False, "peak_memory_mb": 1}, {"result": True}, {"result": True, "peak_memory_mb": 0}]
)
def test_invalid_result_message_is_reported(record) -> None:
    with pytest.raises(PeerError, match="the result message is invalid"):
        parse_result(to_line(record))


def test_to_one_line_removes_control_characters_and_shortens() -> None:
    assert to_one_line("a\n\tb\x1b c") == "a b c"
    assert to_one_line("x" * 500, 10) == "x" * 9 + "…"
