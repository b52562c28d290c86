"""Live sessions, over real WebSockets."""

import json

import cv2
import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from e2pose.core.candidates import Candidates
from e2pose.inference.estimator import Estimator
from helpers.candidates import two_candidates
from helpers.serving import GatedRuntime, serving, until


def receive(live) -> dict:
    return json.loads(live.recv(timeout=20))


@pytest.fixture
def gated(tiny_model):
    """A client of a server whose model waits for permissions, and the model."""
    runtime = GatedRuntime(Estimator.open(tiny_model).runtime)
    with serving({"tiny": Estimator(runtime)}, max_sessions=2, timeout=20.0) as client:
        yield client, runtime
        runtime.permissions.release(100)


def test_frame_gets_the_poses_of_a_request(client, white) -> None:
    with client.live() as live:
        live.send(white)
        record = receive(live)
    answer = client.post(white).json
    assert list(record) == ["frame", "dropped", "width", "height", "persons", "latency_ms"]
    assert (record["frame"], record["dropped"]) == (0, 0)
    assert {name: record[name] for name in ("width", "height", "persons")} == {
        name: answer[name] for name in ("width", "height", "persons")
    }


def test_newest_waiting_frame_is_answered(gated, white) -> None:
    client, runtime = gated
    with client.live() as live:
        live.send(white)
        until(lambda: runtime.num_started == 2)
        for _ in range(30):
            live.send(white)
        until(lambda: "e2pose_frames_dropped_total 29" in client("GET", "/metrics").body.decode())
        runtime.permissions.release(2)
        first, second = receive(live), receive(live)
        with pytest.raises(TimeoutError):
            live.recv(timeout=0.05)
    assert (first["frame"], first["dropped"]) == (0, 29)
    assert (second["frame"], second["dropped"]) == (30, 29)
    assert runtime.num_started == 3


def test_tracking_assigns_ids_and_smoothing_alone_none(client, white) -> None:
    for query, tracked in (("?track=1&smooth=1", True), ("?track=1", True), ("?smooth=1", False), ("", False)):
        with client.live(query) as live:
            for _ in range(2):
                live.send(white)
                (person,) = receive(live)["persons"]
                assert person.get("track_id") == (1 if tracked else None)


@pytest.mark.parametrize(("query", "persons"), [("?track=1", 1), ("?smooth=1", 0), ("", 0)])
def test_tracked_person_is_kept_down_to_half_the_threshold(client, white, query: str, persons: int) -> None:
    grey = cv2.imencode(".png", np.full((40, 60, 3), 90, np.uint8))[1].tobytes()  # a person with the score 0.35
    with client.live(query) as live:
        live.send(white)
        assert len(receive(live)["persons"]) == 1
        live.send(grey)
        assert len(receive(live)["persons"]) == persons


def test_sessions_have_tracks_of_their_own(client, white) -> None:
    black = cv2.imencode(".png", np.zeros((40, 60, 3), np.uint8))[1].tobytes()
    with client.live("?track=1") as first, client.live("?track=1") as second:
        for live, image, ids in ((first, white, [1]), (second, black, []), (first, white, [1]), (second, white, [])):
            live.send(image)
            persons = receive(live)["persons"]
            assert [person["track_id"] for person in persons if "track_id" in person] == ids


class TremblingRuntime:
    """Finds a person whose position depends on the brightness of the image."""

    description = "trembling"

    def __init__(self, spec) -> None:
        self.spec = spec

    def __call__(self, pixels) -> Candidates:
        return two_candidates(float(pixels[0, 0, 0, 0]) / 255 * 0.01)


def test_smoothing_reduces_jitter(tiny_model, white) -> None:
    black = cv2.imencode(".png", np.zeros((40, 60, 3), np.uint8))[1].tobytes()

    def positions(client, query: str) -> list[float]:
        found = []
        with client.live(query) as live:
            for index in range(10):
                live.send((white, black)[index % 2])
                found.append(receive(live)["persons"][0]["keypoints"]["nose"][0])
        return found[4:]

    with serving({"trembling": Estimator(TremblingRuntime(Estimator.open(tiny_model).spec))}) as client:
        plain, smooth = positions(client, ""), positions(client, "?smooth=1")
    assert np.ptp(plain) > 0.3
    assert np.ptp(smooth) < 0.7 * np.ptp(plain)


def test_settings_change_between_frames(client, white) -> None:
    with client.live("?threshold=0.5") as live:
        for settings, persons in (
            (None, 1),
            ({"threshold": 1}, 0),
            ({"threshold": None}, 1),
            ({"threshold": "0.2", "track": True, "smooth": True}, 1),
        ):
            if settings is not None:
                live.send(json.dumps(settings))
            live.send(white)
            record = receive(live)
            assert len(record["persons"]) == persons
        assert record["persons"][0]["track_id"] == 1  # settings are changed, not replaced


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("", "JSON object"),
        ("{", "JSON object"),
        ("[1]", "JSON object"),
        ("null", "JSON object"),
        ("[" * 1000, "JSON object"),
        ('{"threshold": 0.3}' + " " * 3000, "JSON object"),
        ('{"threshold": 2}', "from 0 to 1, not '2'"),
        ('{"threshold": true}', "not 'True'"),
        ('{"threshold": NaN}', "not 'nan'"),
        ('{"threshold": [0.3]}', "from 0 to 1"),
        ('{"track": 2}', "must be 0 or 1"),
        ('{"smooth": "yes"}', "must be 0 or 1"),
        ('{"model": "large"}', "unknown setting 'model'"),
    ],
)
def test_invalid_settings_are_reported_and_the_session_goes_on(client, white, text: str, detail: str) -> None:
    with client.live() as live:
        live.send(text)
        error = receive(live)["error"]
        assert (error["status"], error["title"]) == (422, "Unprocessable Entity")
        assert detail in error["detail"]
        assert error["hint"]
        live.send(white)
        assert len(receive(live)["persons"]) == 1


@pytest.mark.parametrize(
    ("data", "status"), [(b"", 400), (b"no image", 400), (b"\xff\xd8\xff cut", 400), (b"P6\n90000 90000\n255\n", 413)]
)
def test_bad_frame_is_reported_and_the_session_goes_on(client, white, data: bytes, status: int) -> None:
    with client.live() as live:
        live.send(data)
        record = receive(live)
        assert (record["frame"], record["error"]["status"]) == (0, status)
        assert record["error"]["hint"]
        live.send(white)
        assert receive(live)["frame"] == 1


@pytest.mark.parametrize(
    ("query", "status"),
    [("?model=other", 404), ("?threshold=2", 422), ("?track=yes", 422), ("?blur=heads", 422), ("?token=x", 422)],
)
def test_invalid_address_of_a_session_is_refused_with_a_problem(client, query: str, status: int, caplog) -> None:
    with pytest.raises(InvalidStatus) as refused, client.live(query):
        pass
    assert caplog.text == ""  # a mistake of a client is no error of the server
    response = refused.value.response
    assert response.status_code == status
    assert response.headers["Content-Type"] == "application/problem+json"
    assert json.loads(response.body)["hint"]


def test_request_without_upgrade_names_the_websocket(client) -> None:
    answer = client("GET", "/v1/live")
    assert (answer.status, answer.json["detail"]) == (404, "'/v1/live' is the address of a WebSocket")


def test_session_without_subprotocol_is_accepted(client, white) -> None:
    with client.live(subprotocols=None) as live:
        assert live.subprotocol is None
        live.send(white)
        assert receive(live)["frame"] == 0


def test_sessions_are_limited_and_freed(gated) -> None:
    client, _ = gated
    with client.live(), client.live():
        with pytest.raises(InvalidStatus) as refused, client.live():
            pass
        assert refused.value.response.status_code == 429
        assert refused.value.response.headers["Retry-After"] == "5"
        assert "e2pose_live_sessions 2" in client("GET", "/metrics").body.decode()
    until(lambda: "e2pose_live_sessions 0" in client("GET", "/metrics").body.decode())
    with client.live():
        pass


def test_frame_over_the_limit_closes_the_session(client) -> None:
    with client.live() as live, pytest.raises(ConnectionClosed) as closed:  # which `send` may notice first
        live.send(bytes((2 << 20) + 1))
        live.recv(timeout=20)
    assert closed.value.rcvd.code == 1009


def test_frame_of_a_client_that_leaves_is_not_computed(gated, white) -> None:
    client, runtime = gated
    with client.live() as busy, client.live() as leaving:
        busy.send(white)
        until(lambda: runtime.num_started == 2)
        leaving.send(white)
        until(lambda: "e2pose_queue 1" in client("GET", "/metrics").body.decode())
        leaving.close()
        until(lambda: "e2pose_queue 0" in client("GET", "/metrics").body.decode())
        runtime.permissions.release(2)
        assert receive(busy)["frame"] == 0
    assert runtime.num_started == 2


def test_shutdown_answers_the_frame_in_work_and_closes_the_session(gated, white) -> None:
    client, runtime = gated
    with client.live() as busy, client.live() as idle:
        busy.send(white)
        until(lambda: runtime.num_started == 2)
        client.server.handle_exit(15, None)
        with pytest.raises(ConnectionClosed) as closed:
            idle.recv(timeout=20)
        assert closed.value.rcvd.code == 1012
        runtime.permissions.release(1)
        assert receive(busy)["frame"] == 0
        with pytest.raises(ConnectionClosed) as closed:
            busy.recv(timeout=20)
        assert closed.value.rcvd.code == 1012
