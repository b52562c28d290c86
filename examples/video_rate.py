"""How much of the network's own rate is left when a video is read as well, and the poses or a video with them written.

Usage: python examples/video_rate.py VIDEO [MODEL] [THREADS]

The network is asked with all threads for one frame after the other, and with one thread each for several at once; the
video goes the second way, as on the command line. The rates are taken in turn, five times, on the same frames and with
the same number of threads; the medians count.
The machine must have nothing else to do. On two cores: taskset --cpu-list 0,1 python examples/video_rate.py VIDEO
"""

import statistics
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter

import numpy as np

import e2pose
from e2pose.core.frame import Frame
from e2pose.core.poses import Poses
from e2pose.inference.preprocess import preprocess
from e2pose.sinks.threaded import ThreadedSink
from e2pose.sources.prefetch import Prefetch

ROUNDS = 5


def network_rate(estimator: e2pose.Estimator, canvases: list[np.ndarray], num_parallel: int) -> float:
    """Frames per second of the network alone, on canvases that are ready."""
    start = perf_counter()
    with ThreadPoolExecutor(num_parallel) as threads:
        for _ in threads.map(estimator.runtime, canvases):
            pass
    return len(canvases) / (perf_counter() - start)


def whole_rate(estimator: e2pose.Estimator, video: str, num_parallel: int, output: Path) -> float:
    """Frames per second from an H.264 file to JSON lines or, with the poses drawn, to another H.264 file.

    Opening and closing count.
    """

    def draw(frame: Frame, poses: Poses):  # noqa: ANN202 - an RGB picture
        return e2pose.draw_poses(frame.image, poses, threshold=estimator.spec.keypoint_threshold)

    sink = ThreadedSink(e2pose.open_sink(output, draw=draw))
    summary = e2pose.run(estimator, Prefetch(e2pose.open_source([video])), sinks=[sink], num_parallel=num_parallel)
    return summary.frames / summary.wall_s


def main(video: str, model: str = "default", threads: str = "2") -> None:
    """Prints all rates and their ratios."""
    num_parallel = int(threads)
    all_threads, one_thread = e2pose.load(model, threads=num_parallel), e2pose.load(model, threads=1)
    with e2pose.open_source([video]) as source:
        canvases = [preprocess([frame.image], one_thread.spec).pixels for frame in source]
    with tempfile.TemporaryDirectory() as folder:
        outputs = [Path(folder) / name for name in ("out.jsonl", "out.mp4")]
        rounds = [
            [
                network_rate(all_threads, canvases, 1),
                network_rate(one_thread, canvases, num_parallel),
                *(whole_rate(one_thread, video, num_parallel, output) for output in outputs),
            ]
            for _ in range(ROUNDS)
        ]
    in_turn, together, *wholes = (statistics.median(rates) for rates in zip(*rounds, strict=True))
    print(all_threads.description)
    print(f"network alone, one frame after the other {in_turn:.1f}/s, {num_parallel} at once {together:.1f}/s")
    for output, whole in zip(outputs, wholes, strict=True):
        print(f"from file to {output.suffix} {whole:.1f}/s, ratio {whole / in_turn:.2f} and {whole / together:.2f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
