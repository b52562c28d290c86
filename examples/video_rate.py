"""How much of the network's own rate is left when a video is read, drawn and written as well.

Usage: python examples/video_rate.py VIDEO [MODEL] [THREADS]

Both rates are taken in turn, five times, on the same frames and with the same number of threads; the medians count.
The machine must have nothing else to do. On two cores: taskset --cpu-list 0,1 python examples/video_rate.py VIDEO
"""

import statistics
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import e2pose
from e2pose.core.frame import Frame
from e2pose.core.poses import Poses
from e2pose.inference.preprocess import prepare
from e2pose.sinks.behind import WriteBehind
from e2pose.sources.prefetch import Prefetch

ROUNDS = 5


def network_rate(estimator: e2pose.Estimator, video: str) -> float:
    """Frames per second of the network alone, on canvases that are ready."""
    with e2pose.open_source([video]) as source:
        canvases = [prepare([frame.image], estimator.spec).pixels for frame in source]
    start = perf_counter()
    for pixels in canvases:
        estimator.runtime(pixels)
    return len(canvases) / (perf_counter() - start)


def whole_rate(estimator: e2pose.Estimator, video: str, output: Path) -> float:
    """Frames per second from one H.264 file to another, with the poses drawn; opening and closing count."""

    def draw(frame: Frame, poses: Poses):  # noqa: ANN202 - an RGB picture
        return e2pose.draw_poses(frame.image, poses, threshold=estimator.spec.keypoint_threshold)

    sink = WriteBehind(e2pose.open_sink(output, draw=draw))
    summary = e2pose.run(estimator, Prefetch(e2pose.open_source([video])), sinks=[sink])
    return summary.frames / summary.wall_s


def main(video: str, model: str = "default", threads: str = "2") -> None:
    """Prints both rates and their ratio."""
    estimator = e2pose.load(model, threads=int(threads))
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "out.mp4"
        pairs = [(network_rate(estimator, video), whole_rate(estimator, video, output)) for _ in range(ROUNDS)]
    network, whole = (statistics.median(rates) for rates in zip(*pairs, strict=True))
    print(estimator.description)
    print(f"network {network:.1f}/s, from file to file {whole:.1f}/s, ratio {whole / network:.2f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
