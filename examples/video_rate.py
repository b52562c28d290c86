"""How much of the network's own rate is left when a video is read as well, and the poses or a video with them written.

Usage: python examples/video_rate.py VIDEO [MODEL] [THREADS]

The rates are taken in turn, five times, on the same frames and with the same number of threads; the medians count.
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
    """Frames per second from an H.264 file to JSON lines or, with the poses drawn, to another H.264 file.

    Opening and closing count.
    """

    def draw(frame: Frame, poses: Poses):  # noqa: ANN202 - an RGB picture
        return e2pose.draw_poses(frame.image, poses, threshold=estimator.spec.keypoint_threshold)

    sink = WriteBehind(e2pose.open_sink(output, draw=draw))
    summary = e2pose.run(estimator, Prefetch(e2pose.open_source([video])), sinks=[sink])
    return summary.frames / summary.wall_s


def main(video: str, model: str = "default", threads: str = "2") -> None:
    """Prints both rates and their ratio."""
    estimator = e2pose.load(model, threads=int(threads))
    with tempfile.TemporaryDirectory() as folder:
        outputs = [Path(folder) / name for name in ("out.jsonl", "out.mp4")]
        rounds = [
            [network_rate(estimator, video), *(whole_rate(estimator, video, output) for output in outputs)]
            for _ in range(ROUNDS)
        ]
    network, *wholes = (statistics.median(rates) for rates in zip(*rounds, strict=True))
    print(estimator.description)
    print(f"network alone {network:.1f}/s")
    for output, whole in zip(outputs, wholes, strict=True):
        print(f"from file to {output.suffix} {whole:.1f}/s, ratio {whole / network:.2f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
