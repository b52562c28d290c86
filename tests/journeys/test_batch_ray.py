"""`e2pose batch --engine ray` on a cluster of three worker nodes on this machine."""

import os
import random
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet
import pytest

from e2pose.batch.job import Job
from e2pose.batch.manifest import Item
from e2pose.batch.options import BatchOptions, EngineOptions
from e2pose.batch.run import BatchRun
from e2pose.batch.storage import JobFolder
from e2pose.batch.worker import Task
from e2pose.core.errors import ModelError, OptionError
from helpers.batches import assert_same_results, finished_shards, read_table, start, temporary_files, write_images
from helpers.synthetic import write_video
from helpers.waiting import wait_until

ray = pytest.importorskip("ray", reason="the extra 'ray' is not installed")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # Ray leaves sockets and files open

EXAMPLE = Path(__file__).parents[2] / "examples" / "ray_data.py"
MEMORY = 80 << 20
NUM_IMAGES = 90


@pytest.fixture(scope="module")
def cluster():
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": MEMORY})
    cluster.nodes = [cluster.add_node(num_cpus=1, object_store_memory=MEMORY) for _ in range(3)]
    yield cluster
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = write_images(tmp_path_factory.mktemp("images"), NUM_IMAGES)
    (folder / "bad.jpg").write_bytes(b"no image")
    write_video(folder / "film.mp4", frames=600, rate=12)
    return folder


@pytest.fixture(scope="module")
def options(tiny_model):
    return BatchOptions(str(tiny_model), shard=3, segment=20)


@pytest.fixture(scope="module")
def reference(images, options, tmp_path_factory):
    """The job as computed by one process."""
    job = tmp_path_factory.mktemp("reference") / "job"
    summary = BatchRun([str(images)], str(job), options, EngineOptions(workers=1, max_failed="1")).run()
    assert summary.is_successful
    return job


def command(images, options, cluster, job):
    return [
        *("batch", images, "-o", job, "--model", options.model, "--shard", 3, "--segment", 20, "--max-failed", 1),
        *("--engine", f"ray={cluster.address}"),
    ]


def test_nodes_die_and_join_during_the_run(cluster, images, options, reference, tmp_path):
    job, total = tmp_path / "job", len(finished_shards(reference))
    process = start(*command(images, options, cluster, job))
    for number in range(2):
        wait_until(lambda: len(finished_shards(job)) >= 6 * (number + 1))  # noqa: B023 - called immediately
        cluster.remove_node(cluster.nodes.pop(0), allow_graceful=False)
    cluster.nodes.append(cluster.add_node(num_cpus=1, object_store_memory=MEMORY))
    assert 12 <= len(finished_shards(job)) < total
    _, err = process.communicate(timeout=100)
    assert process.returncode == 0, err
    assert_same_results(job, reference)
    keys = [(row["id"], row["segment"]) for row in read_table(job, "files")]
    assert len(set(keys)) == len(keys) == NUM_IMAGES + 1 + 3
    assert temporary_files(job) == []


def check_kills(arguments, reference, job, *, seed, times):
    generator, before, total = random.Random(seed), {}, len(finished_shards(reference))
    for number in range(times):
        count = len(before) + generator.randint(0, max(1, (total - len(before)) // (times - number)))
        process = start(*arguments)
        wait_until(lambda: len(finished_shards(job)) >= count or process.poll() is not None)  # noqa: B023
        process.kill()
        process.communicate()
        before |= finished_shards(job)
    process = start(*arguments)
    _, err = process.communicate(timeout=100)
    assert process.returncode == 0, err
    after = finished_shards(job)
    assert after.keys() == finished_shards(reference).keys()
    assert_same_results(job, reference)


def test_ctrl_c_stops_within_10_s(cluster, images, options, reference, tmp_path):
    job = tmp_path / "job"
    process = start(*command(images, options, cluster, job))
    wait_until(lambda: finished_shards(job))
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=10)
    assert process.returncode == 130, err
    assert "interrupted; the same command continues it" in err
    assert 0 < len(finished_shards(job)) < len(finished_shards(reference))


@pytest.mark.long
def test_killed_driver_continues(cluster, images, options, reference, tmp_path):
    job = tmp_path / "job"
    check_kills(command(images, options, cluster, job), reference, job, seed=0, times=3)


@pytest.mark.long
def test_ten_kills(cluster, images, options, reference, tmp_path):
    job = tmp_path / "job"
    check_kills(command(images, options, cluster, job), reference, job, seed=1, times=10)


def test_file_that_hangs_is_named(cluster, options, tmp_path):
    folder = write_images(tmp_path / "in", 4)
    os.mkfifo(folder / "0002-hang.png")
    (tmp_path / "list.txt").write_text("\n".join(map(str, sorted(folder.iterdir()))))
    engine = EngineOptions(f"ray={cluster.address}", timeout=2, max_failed="1")
    assert BatchRun([f"@{tmp_path / 'list.txt'}"], str(tmp_path / "job"), options, engine).run().is_successful
    errors = [row["error"] for row in read_table(tmp_path / "job", "files")]
    assert [error is not None for error in errors] == [False, False, True, False, False]
    assert errors[2].startswith("its worker process ended: ")


def test_changed_model_is_an_error(cluster, images, options, reference, tmp_path):
    job = tmp_path / "job"
    run = BatchRun([str(images)], str(job), options, EngineOptions(f"ray={cluster.address}"))
    run._open_job()
    engine = run._open_engine(replace(Job.read(JobFolder(str(job))), model_sha256="0"))
    with pytest.raises(ModelError, match="not the one that the job started with"):
        engine.submit(Task(0, [Item(0, 0, "a.jpg", False, None)]))
        while not engine.wait(1):
            pass
    engine.close()


def test_unknown_cluster_is_an_error(images, options, tmp_path):
    run = BatchRun([str(images)], str(tmp_path / "job"), options, EngineOptions("ray=127.0.0.1:1"))
    with pytest.raises(OptionError, match=r"cannot connect to the Ray cluster '127\.0\.0\.1:1'"):
        run.run()


def test_example_of_ray_data_has_a_row_per_image(cluster, tmp_path, tiny_model):
    pytest.importorskip("pandas", reason="pandas, which Ray Data imports, is not installed")
    folder = write_images(tmp_path / "in", 6)
    (folder / "bad.jpg").write_bytes(b"no image")
    command = [sys.executable, EXAMPLE, tmp_path / "out", tiny_model, *sorted(folder.iterdir())]
    environment = {**os.environ, "RAY_ADDRESS": cluster.address}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    rows = pyarrow.parquet.read_table(tmp_path / "out" / "poses").sort_by("id").to_pylist()
    assert [len(row["keypoints"]) for row in rows] == [0, 1, 1, 0, 1, 1, 0]
    assert [bool(row["error"]) for row in rows] == [False] * 6 + [True]
