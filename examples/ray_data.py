"""Adds poses to a Ray Data pipeline.

    python examples/ray_data.py out fast photos/*.jpg

For those who have a pipeline of Ray Data already; otherwise `e2pose batch --engine ray` does more. The example avoids
these traps of Ray Data 2.60:

- An exception drops the whole block of rows, so an unreadable file becomes a value of the column `error`.
- Checkpoints only work between a `read_*` and a `write_*` function, and are ignored silently after `from_items`. Their
  ids must be unique in the output, so this pipeline has one row per image; integers take less memory than paths.
- A checkpoint is deleted when the job succeeds, unless `delete_checkpoint_on_success=False`.

Needs the extra "ray", and pandas, which Ray Data imports.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import ray

import e2pose


class Poses:
    """Adds the columns `keypoints` and `error`; each actor loads the model once."""

    def __init__(self, model: str) -> None:
        self.estimator = e2pose.load(model, threads=1)

    def __call__(self, batch: dict[str, np.ndarray[Any, Any]]) -> dict[str, list[Any]]:
        """Processes the images of a batch of rows."""
        found = [self.estimate(path) for path in batch["uri"]]
        return {
            "id": batch["id"].tolist(),
            "uri": batch["uri"].tolist(),
            "keypoints": [keypoints for keypoints, _ in found],  # (x, y) of each keypoint, one list per person
            "error": [error for _, error in found],
        }

    def estimate(self, path: str) -> tuple[list[list[float]], str]:
        """Returns the keypoints of all persons, and an error or an empty text."""
        try:
            poses = self.estimator(path)
        except e2pose.E2PoseError as error:
            return [], str(error)
        return [person.ravel().tolist() for person in poses.keypoints], ""


def main(out: Path, model: str, images: list[str]) -> None:
    """Writes a table of the images, and adds the poses."""
    out.mkdir(parents=True, exist_ok=True)
    paths = [str(Path(image).absolute()) for image in images]
    pa.parquet.write_table(pa.table({"id": range(len(paths)), "uri": paths}), out / "images.parquet")
    ray.init(log_to_driver=False, ignore_reinit_error=True)
    context = ray.data.DataContext.get_current()
    context.checkpoint_config = ray.data.checkpoint.CheckpointConfig(
        id_column="id", checkpoint_path=str((out / "checkpoint").absolute()), delete_checkpoint_on_success=False
    )
    (
        ray.data.read_parquet(str(out / "images.parquet"))
        .map_batches(
            Poses,
            fn_constructor_args=(model,),
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=4),
            num_cpus=1,
            batch_size=64,
        )
        .write_parquet(str((out / "poses").absolute()))
    )
    rows = pa.parquet.read_table(out / "poses").num_rows
    print(f"{rows} rows in {out / 'poses'}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
