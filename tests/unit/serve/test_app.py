"""The routes of the service, over real connections."""

import json
import re
import struct
import threading
import zlib
from importlib import import_module
from pathlib import Path

import cv2
import numpy as np
import pytest

from e2pose.formats.jsonl import to_json_persons
from e2pose.inference.estimator import Estimator
from e2pose.serve.compute import ServedModel
from helpers.serving import serving


def png_header(height: int, width: int, kind: bytes = b"\x08\x02") -> bytes:
    """A PNG of 57 bytes that claims a size and has no pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">II", width, height) + kind + b"\0\0\0"
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IEND", b"")


def assert_problem(answer, status: int, detail: str = "") -> None:
    assert answer.status == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json["status"] == status
    assert answer.json["title"]
    assert answer.json["hint"]
    assert detail in answer.json["detail"]


def test_answer_is_the_record_of_the_estimator(client, white, tiny_model) -> None:
    answer = client.post(white)
    expected = to_json_persons(Estimator.open(tiny_model)(white))
    assert answer.status == 200
    assert list(answer.json) == ["model", "width", "height", "persons", "latency_ms"]
    assert (answer.json["model"], answer.json["width"], answer.json["height"]) == ("tiny", 60, 40)
    assert answer.json["persons"] == expected
    assert len(expected) == 1
    assert set(answer.json["latency_ms"]) == {"wait", "decode", "compute"}
    assert answer.headers["Server-Timing"].startswith("wait;dur=")


@pytest.mark.parametrize(("query", "persons"), [("", 1), ("?threshold=1.0", 0), ("?threshold=0&model=tiny", 1)])
def test_threshold_and_model_are_chosen_by_the_query(client, white, query: str, persons: int) -> None:
    assert len(client.post(white, query).json["persons"]) == persons


@pytest.mark.parametrize(
    ("query", "status", "detail"),
    [
        ("?model=other", 404, "unknown model 'other'; available: tiny"),
        ("?model=../tiny", 404, "unknown model"),
        ("?model=", 404, "unknown model ''"),
        ("?threshold=1.5", 422, "not '1.5'"),
        ("?threshold=nan", 422, "not 'nan'"),
        ("?threshold=", 422, "not ''"),
        ("?threshold=0.1&threshold=0.2", 422, "several times"),
        ("?treshold=0.1", 422, "unknown parameter 'treshold'"),
        ("?token=secret", 422, "unknown parameter 'token'"),
        ("?blur=faces", 422, "heads, bodies, frame, not 'faces'"),
    ],
)
def test_invalid_query_is_refused(client, white, query: str, status: int, detail: str) -> None:
    assert_problem(client.post(white, query), status, detail)


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("application/json", "application/json"),
        ("image/jpeg", "image/jpeg"),
        ("image/png", "image/png"),
        ("image/*", "image/jpeg"),
        ("IMAGE/PNG", "image/png"),
        ("text/html, image/png;q=0.5, */*;q=0.1", "image/png"),
        ("application/json;q=0.2, image/jpeg;q=0.9", "image/jpeg"),
        ("image/jpeg;q=0, image/*;q=0.1", "image/jpeg"),
        ("image/png;q=x, application/json", "application/json"),
    ],
)
def test_accept_header_chooses_the_answer(client, white, accept: str, media_type: str) -> None:
    answer = client.post(white, Accept=accept)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == media_type
    if media_type != "application/json":
        assert cv2.imdecode(np.frombuffer(answer.body, np.uint8), cv2.IMREAD_COLOR).shape == (40, 60, 3)


@pytest.mark.parametrize("accept", ["text/html", "image/webp", "application/json;q=0"])
def test_answer_in_another_format_is_refused(client, white, accept: str) -> None:
    assert_problem(client.post(white, Accept=accept), 406, accept)


def test_drawn_answer_has_the_poses_and_the_blur(client, white) -> None:
    plain, blurred = (
        cv2.imdecode(np.frombuffer(client.post(white, query, Accept="image/png").body, np.uint8), cv2.IMREAD_COLOR)
        for query in ("", "?blur=frame")
    )
    assert plain.min() < 200  # a skeleton on white
    assert (plain != blurred).sum() == 0  # a white frame stays white
    noise = cv2.imencode(".png", np.random.default_rng(0).integers(200, 256, (40, 60, 3), np.uint8))[1].tobytes()
    plain, blurred = (
        cv2.imdecode(np.frombuffer(client.post(noise, query, Accept="image/png").body, np.uint8), cv2.IMREAD_COLOR)
        for query in ("", "?blur=frame")
    )
    assert np.abs(np.diff(blurred[30:, :9].astype(int))).mean() < np.abs(np.diff(plain[30:, :9].astype(int))).mean() / 3


def test_blur_covers_persons_that_are_too_uncertain_to_be_drawn(client) -> None:
    noise = np.random.default_rng(0).integers(50, 130, (400, 600, 3), np.uint8)  # the score of the person is 0.35
    data = cv2.imencode(".png", noise)[1].tobytes()
    assert client.post(data).json["persons"] == []
    answers = [client.post(data, query, Accept="image/png").body for query in ("", "?blur=bodies", "?threshold=0.3")]
    plain, blurred, drawn = (cv2.imdecode(np.frombuffer(answer, np.uint8), cv2.IMREAD_COLOR) for answer in answers)
    assert (plain == cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)).all()
    assert (drawn != plain).any()
    assert blurred[200, 300:310].std() < plain[200, 300:310].std() / 3


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("image/jpeg", 200),  # the first bytes determine the format
        ("image/x-anything; a=b", 200),
        ("application/octet-stream", 200),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=x", 415),
        ("application/json", 415),
        ("text/plain", 415),
    ],
)
def test_content_type_of_an_image_is_accepted(client, white, content_type: str, status: int) -> None:
    answer = client("POST", "/v1/poses", white, {"Content-Type": content_type})
    assert answer.status == status
    if status != 200:
        assert_problem(answer, 415, content_type.partition(";")[0])


def test_content_type_may_be_missing(client, white) -> None:
    assert client("POST", "/v1/poses", white).status == 200


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        (b"", 400, "empty"),
        (b"hello", 400, "not an image"),
        (b"\xff\xd8\xff\xe0 cut", 400, "truncated or damaged"),
        (b"\x89PNG\r\n\x1a\n", 400, "truncated or damaged"),
        (png_header(100_000, 100_000), 413, "10,000,000,000 pixels; accepted are 50,000,000"),
        (png_header(30_000, 30_000, b"\x01\0"), 413, "900,000,000 pixels"),
        (png_header(0, 10), 400, "width or height of 0"),
        (png_header(10, 10), 400, "cannot be decoded"),
        (b"P6\n100000 100000\n255\n", 413, "accepted are"),
        (b"GIF89a" + b"\xff\xff\xff\xff" + bytes(20), 413, "accepted are"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_body_that_is_no_small_image_is_refused(client, body: bytes, status: int, detail: str) -> None:
    assert_problem(client.post(body), status, detail)


@pytest.mark.parametrize("suffix", ["webp", "tiff", "jp2", "bmp", "avif"])
def test_large_image_of_every_format_is_refused_by_its_header(tiny_model, suffix: str) -> None:
    encoded = cv2.imencode(f".{suffix}", np.zeros((120, 100, 3), np.uint8))[1].tobytes()
    with serving({"tiny": tiny_model}, max_megapixels=0.01, wait=True) as client:
        assert_problem(client.post(encoded), 413, "12,000 pixels; accepted are 10,000")


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/nothing", 404, None),
        ("GET", "/v1/models/", 404, None),
        ("GET", "/v1/live", 404, None),
        ("GET", "/static/app.py", 404, None),
        ("GET", "/static/../app.py", 404, None),
        ("GET", "/static/%2e%2e%2fapp.py", 404, None),
        ("GET", "/static/", 404, None),
        ("GET", "/v1/poses", 405, "POST"),
        ("PUT", "/v1/poses", 405, "POST"),
        ("OPTIONS", "/v1/poses", 405, "POST"),
        ("POST", "/v1/models", 405, "GET, HEAD"),
        ("DELETE", "/", 405, "GET, HEAD"),
    ],
)
def test_unknown_address_or_method_is_a_problem_with_a_hint(client, method, path, status, allow) -> None:
    answer = client(method, path)
    assert_problem(answer, status)
    assert answer.headers["Allow"] is None or set(answer.headers["Allow"].split(", ")) == set(allow.split(", "))


def test_page_and_its_files_are_served_by_exact_name(tiny_model, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "index.html").write_text("<!doctype html>")
    (tmp_path / "page.js").write_text("export {}")
    (tmp_path / "folder").mkdir()
    monkeypatch.setattr(import_module("e2pose.serve.app"), "_STATIC", tmp_path)
    with serving({"tiny": tiny_model}) as client:
        page, script = client("GET", "/"), client("GET", "/static/page.js")
        assert (page.status, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        assert (script.status, script.headers["Content-Type"]) == (200, "text/javascript; charset=utf-8")
        assert script.headers["Cache-Control"] == "no-cache"
        assert client("GET", "/static/page.js", headers={"If-None-Match": script.headers["ETag"]}).status in (200, 304)
        for name in ("folder", "PAGE.js", "page.js/", "page", "."):
            assert client("GET", f"/static/{name}").status == 404


def test_models_describe_what_a_page_needs(client) -> None:
    (model,) = client("GET", "/v1/models").json
    assert model["name"] == "tiny"
    assert model["input_size_hw"] == [64, 64]
    assert model["keypoints"][0] == "nose"
    assert all(len(edge) == 2 and max(edge) < len(model["keypoints"]) for edge in model["edges"])
    assert model["threshold"] == 0.4
    assert "onnxruntime" in model["description"]


def test_health_readiness_and_description_are_json(client) -> None:
    assert client("GET", "/healthz").json == {"status": "ok"}
    assert client("GET", "/readyz").json == {"status": "ready"}
    assert "/v1/poses" in client("GET", "/openapi.json").json["paths"]
    assert client("HEAD", "/healthz").status == 200


def test_server_answers_while_the_models_are_loaded(tiny_model) -> None:
    release = threading.Event()

    def load():
        assert release.wait(20)
        estimator = Estimator.open(tiny_model)
        return {"tiny": ServedModel(estimator, estimator)}

    with serving(load, wait=False) as client:
        assert client("GET", "/healthz").status == 200
        assert_problem(client("GET", "/readyz"), 503, "loading the models")
        refused = client.post(b"x")
        assert_problem(refused, 503, "loading the models")
        assert refused.headers["Retry-After"] == "1"
        release.set()
        while client("GET", "/readyz").status == 503:
            pass
        assert client.post(b"x").status == 400


def test_metrics_count_answers_images_and_memory(tiny_model, white) -> None:
    with serving({"tiny": tiny_model}) as client:
        client.post(white)
        client.post(white)
        client.post(b"x")
        client("GET", "/surprise/<script>")
        answer = client("GET", "/metrics")
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    lines = answer.body.decode().splitlines()
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert values['e2pose_requests_total{route="/v1/poses",status="200"}'] == "2"
    assert values['e2pose_requests_total{route="/v1/poses",status="400"}'] == "1"
    assert values['e2pose_requests_total{route="other",status="404"}'] == "1"
    assert values['e2pose_seconds_count{stage="compute"}'] == "2"
    assert values['e2pose_seconds_bucket{stage="wait",le="+Inf"}'] == "2"
    assert values["e2pose_queue"] == values["e2pose_live_sessions"] == values["e2pose_frames_dropped_total"] == "0"
    assert int(values["process_resident_memory_bytes"]) > 1e7
    names = {re.sub(r"_(bucket|sum|count)$", "", re.split(r"[ {]", name)[0]) for name in values}
    described = {line.split()[2] for line in lines if line.startswith("# TYPE")}
    assert names == described


def test_unexpected_error_is_a_problem_without_details(tiny_model, white, caplog) -> None:
    class Broken:
        def __init__(self, runtime) -> None:
            self.runtime, self.spec, self.description, self.calls = runtime, runtime.spec, "broken", 0

        def __call__(self, pixels):
            self.calls += 1
            if self.calls > 1:
                raise RuntimeError("a secret detail")
            return self.runtime(pixels)

    estimator = Estimator(Broken(Estimator.open(tiny_model).runtime))
    with serving({"broken": estimator}) as client:
        answer = client.post(white)
    assert_problem(answer, 500)
    assert "secret" not in answer.body.decode()
    assert json.loads(answer.body)["hint"] == "the log of the server has the details"
