"""Servers, a fake camera and recorded pages for tests in a browser."""

import functools
import http.server
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np

from e2pose.core.oks import object_keypoint_similarity
from e2pose.core.poses import Poses
from e2pose.sources.images import read_image

ISOLATION = {"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp"}

LISTEN = """
window.frames_ = [];
document.addEventListener("e2pose:frame", ({ detail }) => window.frames_.push(detail));
"""
"""Script for a page: collects the results that the page shows."""


def write_y4m(source: Path, target: Path, size_wh: tuple[int, int], num_frames: int) -> Path:
    """Writes the first frames of a video in the format of Chromium's fake camera."""
    with av.open(str(source)) as video, av.open(str(target), "w", format="yuv4mpegpipe") as camera:
        track = video.streams.video[0]
        stream = camera.add_stream("wrapped_avframe", rate=track.average_rate)
        stream.width, stream.height, stream.pix_fmt = *size_wh, "yuv420p"
        for index, frame in enumerate(video.decode(track)):
            if index == num_frames:
                break
            for packet in stream.encode(frame.reformat(*size_wh, format="yuv420p")):
                camera.mux(packet)
    return target


def write_panning_video(image: Path, target: Path) -> Path:
    """Writes a WebM video that moves over an image."""
    rgb = read_image(image)
    width, height = rgb.shape[1] // 10 * 9 // 2 * 2, rgb.shape[0] // 2 * 2
    with av.open(str(target), "w") as video:
        stream = video.add_stream("libvpx", rate=25, options={"crf": "20", "b": "4M", "cpu-used": "8"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for left in range(0, rgb.shape[1] - width, 2):
            view = np.ascontiguousarray(rgb[:height, left : left + width])
            video.mux(stream.encode(av.VideoFrame.from_ndarray(view, format="rgb24")))
        video.mux(stream.encode())
    return target


@contextmanager
def pose_server(*arguments: str | Path, port: int = 0) -> Iterator[str]:
    """Runs `e2pose serve` and yields its address."""
    command = [sys.executable, "-m", "e2pose", "serve", "--port", str(port), *map(str, arguments)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            lines = []
            for line in process.stderr:
                lines.append(line)
                if ready := re.match(r"ready: (\S+)", line):
                    threading.Thread(target=process.stderr.read, daemon=True).start()
                    yield ready[1].partition("#")[0]
                    break
            else:
                raise AssertionError("".join(lines))
        finally:
            process.terminate()


@contextmanager
def file_server(folder: Path, headers: dict[str, str] | None = None) -> Iterator[str]:
    """Serves a folder as a static web host does, and yields its address."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def end_headers(self) -> None:
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            super().end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def wait_until(page, condition: str, timeout_s: float = 60) -> None:
    """Waits until a JavaScript expression is true; Playwright's own waiting needs eval, which the page forbids."""
    poll = f"""async (deadline) => {{
        while (!({condition}) && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 20));
        return Boolean({condition});
    }}"""
    assert page.evaluate(poll, 1000 * (time.time() + timeout_s)), f"not within {timeout_s} s: {condition}"


def next_results(
    page, count: int = 1, *, act: Callable[[], object] = lambda: None, timeout_s: float = 60
) -> list[dict]:
    """Returns the next results that the page shows, after an action."""
    start = page.evaluate("window.frames_.length")
    act()
    wait_until(page, f"window.frames_.length >= {start + count}", timeout_s)
    return page.evaluate("start => window.frames_.slice(start)", start)


def similarities(persons: list[dict], poses: Poses) -> np.ndarray:
    """Returns the OKS of each person of Python's poses with the most similar person of the page."""
    shown = np.array([[point[:2] for point in person["keypoints"].values()] for person in persons], np.float32)
    boxes = poses.boxes()
    labelled = poses.keypoint_scores >= 0.5
    areas = 0.53 * boxes[:, 2] * boxes[:, 3]  # the usual share of a box that a person covers
    oks = object_keypoint_similarity(shown, poses.keypoints, labelled, areas, np.array(poses.schema.sigmas))
    return oks.max(axis=0)
