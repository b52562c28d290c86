"""Streams and anonymised images, from the command line to the file."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from helpers.media import BLUE, GREEN, WHITE, decode_video, write_clip
from helpers.servers import Camera, rtsp
from helpers.synthetic import TINY_KEYPOINTS


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signals of this kind")
def test_stream_that_reconnects_three_times_becomes_one_file(
    tmp_path: Path, tiny_model: Path, request: pytest.FixtureRequest
) -> None:
    camera = Camera(rtsp)
    words = [
        f"rtsp://me:secret@127.0.0.1:{camera.port}/one",
        "--model",
        str(tiny_model),
        "-o",
        "a.mp4",
        "-o",
        "a.jsonl",
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "e2pose", "predict", *words], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    request.addfinalizer(process.kill)

    def wait_for(word: str) -> None:
        assert process.stderr is not None
        while not (line := process.stderr.readline()).startswith(f"{word} 'rtsp://127.0.0.1"):
            assert line, "the process ended"

    def receive_frames() -> None:
        before = camera.sent
        while camera.sent < before + 40 or not any(tmp_path.glob(".a-*.mp4")):
            assert process.poll() is None
            camera.wait()

    for size_hw, colour in (((64, 96), GREEN), ((48, 64), BLUE), ((32, 48), WHITE)):
        receive_frames()
        camera.kill()
        wait_for("lost connection to")
        camera.size_hw, camera.colour = size_hw, colour
        camera.start()
        wait_for("reconnected to")
    receive_frames()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    camera.kill()
    assert process.returncode == 130, err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl", "a.mp4"], err
    images, times_s, _, _ = decode_video(tmp_path / "a.mp4")
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert len(images) == len(lines) >= 4
    assert {image.shape for image in images} == {(48, 64, 3)}
    assert times_s == sorted(set(times_s))
    assert "secret" not in (tmp_path / "a.jsonl").read_text() + err


def detail(image: np.ndarray) -> float:
    """Mean difference of an image from its own blur."""
    return float(np.abs(image.astype(float) - cv2.blur(image, (9, 9)).astype(float)).mean())


@pytest.mark.parametrize("blur", ["frame", "bodies", "heads"])
def test_every_frame_of_every_output_is_blurred(predict, tmp_path: Path, blur: str) -> None:
    """The checkers at the person of the tiny model disappear."""
    corner, far = TINY_KEYPOINTS.min(axis=0), TINY_KEYPOINTS.max(axis=0)
    if blur == "heads":
        corner, far = TINY_KEYPOINTS[:5].min(axis=0), TINY_KEYPOINTS[:5].max(axis=0)
    checkers = np.kron(np.indices((80, 80)).sum(axis=0) % 2, np.ones((4, 4)))[..., None] * [255, 255, 255]
    (x0, y0), (x1, y1) = (np.round(np.array([corner, far]) * 320)).astype(int)
    write_clip(tmp_path / "in.mp4", [checkers.astype(np.uint8)] * 8)
    options = ["--blur", blur, "--threshold", "0.1", "--keypoint-threshold", "1"]
    done = predict("in.mp4", *options, "-o", "a.mp4", "-o", "a.mkv", "-o", "frames/%d.png", "-o", "drawn/")
    assert done.code == 0, done.err
    videos = [decode_video(tmp_path / name)[0] for name in ("a.mp4", "a.mkv", "drawn/in.mp4")]
    images = [cv2.imread(str(path)) for path in sorted((tmp_path / "frames").iterdir())]
    outputs = [*videos, images]
    assert [len(output) for output in outputs] == [8] * 4
    original = detail(checkers.astype(np.uint8)[y0:y1, x0:x1])
    for image in (image for output in outputs for image in output):
        assert detail(image[y0:y1, x0:x1]) < 0.25 * original
