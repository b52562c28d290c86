"""Measures `e2pose batch` on this machine, which should be idle: rate of processes, overhead per shard, listing.

    python examples/batch_rate.py samples/astronaut.jpg 400

Prints the rate with one and with two workers and their ratio, the time that a shard costs besides its images, and time
and memory of listing a million paths. Needs the extra "parquet".
"""

import resource
import shutil
import sys
import tempfile
from pathlib import Path
from time import perf_counter

from e2pose.batch.manifest import freeze
from e2pose.batch.options import BatchOptions, EngineOptions
from e2pose.batch.run import BatchRun
from e2pose.batch.storage import JobFolder

_NUM_SHARDS = 300


def measure_s(folder: Path, images: str, model: str, *, workers: int, shard: int) -> float:
    """Returns the seconds from the first finished shard to the last one, so that the start does not count."""
    times: list[float] = []
    job = folder / f"job-{workers}-{shard}"
    options, engine = BatchOptions(model, shard=shard), EngineOptions(workers=workers)
    BatchRun([images], str(job), options, engine, on_progress=lambda _: times.append(perf_counter())).run()
    return times[-1] - times[1]  # the first time is that of the listing


def main(image: Path, num_images: int, num_paths: int = 1_000_000, model: str = "default") -> None:
    """Runs all measurements in a temporary folder."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "images").mkdir()
        for index in range(num_images):
            shutil.copy(image, folder / "images" / f"{index:06d}{image.suffix}")
        rates = []
        for workers in (1, 2):
            seconds = measure_s(folder, str(folder / "images"), model, workers=workers, shard=4)
            rates.append((num_images - 4 * workers) / seconds)
            print(f"{workers} workers: {rates[-1]:.1f} images per second")
        print(f"ratio {rates[1] / rates[0]:.2f}")
        paths = folder / "paths.txt"
        paths.write_text("".join(f"/none/{index}.jpg\n" for index in range(_NUM_SHARDS)))  # missing: no work at all
        seconds = measure_s(folder, f"@{paths}", model, workers=1, shard=1)
        print(f"overhead per shard: {1000 * seconds / (_NUM_SHARDS - 1):.1f} ms")
        paths.write_text("".join(f"/data/{index // 1000:05d}/image-{index:08d}.jpg\n" for index in range(num_paths)))
        start = perf_counter()
        freeze(JobFolder(str(folder / "listed")), [f"@{paths}"], segment_s=60, whole_videos=False)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{num_paths} paths: {perf_counter() - start:.1f} s, at most {memory:.0f} MiB of memory in this process")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), *map(int, sys.argv[3:4]), *sys.argv[4:5])
