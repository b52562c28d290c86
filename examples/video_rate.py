"""Compares the frame rate of reading, inference and writing with the frame rate of the network alone.

Usage: python examples/video_rate.py VIDEO [MODEL] [THREADS]

Four rates are measured on the same frames with the same number of threads: the network with one frame at a time, the
network with parallel frames, video to JSON lines, and video to video with the poses drawn. The last two use parallel
frames, as the command line does. The measurements alternate for five rounds; the medians are printed. The machine
must be idle. On two cores: taskset --cpu-list 0,1 python examples/video_rate.py VIDEO
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


def measure_network(estimator: e2pose.Estimator, batches: list[np.ndarray], num_parallel: int) -> float:
    """Returns the frames per second of the network on preprocessed frames."""
    start = perf_counter()
    with ThreadPoolExecutor(num_parallel) as threads:
        for _ in threads.map(estimator.runtime, batches):
            pass
    return len(batches) / (perf_counter() - start)


def measure_run(estimator: e2pose.Estimator, video: str, num_parallel: int, output: Path) -> float:
    """Returns the frames per second from a video file to an output file, including opening and closing both."""

    def draw(frame: Frame, poses: Poses) -> np.ndarray:
        return e2pose.draw_poses(frame.image, poses, threshold=estimator.spec.keypoint_threshold)

    sink = ThreadedSink(e2pose.open_sink(output, draw=draw))
    summary = e2pose.run(estimator, Prefetch(e2pose.open_source(video)), sinks=[sink], num_parallel=num_parallel)
    return summary.frames / summary.wall_s


def main(video: str, model: str = "default", threads: str = "2") -> None:
    """Prints all rates and their ratios."""
    num_parallel = int(threads)
    all_threads, one_thread = e2pose.load(model, threads=num_parallel), e2pose.load(model, threads=1)
    with e2pose.open_source(video) as source:
        batches = [preprocess([frame.image], one_thread.spec).pixels for frame in source]
    with tempfile.TemporaryDirectory() as folder:
        outputs = [Path(folder) / name for name in ("out.jsonl", "out.mp4")]
        rounds = [
            [
                measure_network(all_threads, batches, 1),
                measure_network(one_thread, batches, num_parallel),
                *(measure_run(one_thread, video, num_parallel, output) for output in outputs),
            ]
            for _ in range(ROUNDS)
        ]
    sequential, parallel, *runs = (statistics.median(rates) for rates in zip(*rounds, strict=True))
    print(all_threads.description)
    print(f"network only: one frame at a time {sequential:.1f}/s, {num_parallel} parallel frames {parallel:.1f}/s")
    for output, rate in zip(outputs, runs, strict=True):
        print(f"video to {output.suffix}: {rate:.1f}/s, ratio {rate / sequential:.2f} and {rate / parallel:.2f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
