"""The queue, with a runtime that waits for permission."""

import asyncio
import threading
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from e2pose.core.candidates import Candidates
from e2pose.core.errors import InputError
from e2pose.inference.estimator import Estimator
from e2pose.serve.compute import ComputeQueue, Job, ServedModel
from e2pose.serve.problems import RequestError
from helpers.candidates import two_candidates


class GatedRuntime:
    """Finds a person in each image, as soon as the gate is open; records the sizes of the batches."""

    description = "gated"

    def __init__(self, spec) -> None:
        self.spec = spec
        self.gate = threading.Event()
        self.started = threading.Semaphore(0)
        self.batches: list[list[int]] = []

    def __call__(self, pixels) -> Candidates:
        self.batches.append(pixels[:, 0, 0, 0].tolist())
        self.started.release()
        assert self.gate.wait(20)
        one = two_candidates(0.0)
        return Candidates(
            *(np.repeat(getattr(one, name), len(pixels), 0) for name in ("scores", "keypoint_scores", "keypoints"))
        )


@pytest.fixture
def runtime(tiny_model):
    return GatedRuntime(Estimator.open(tiny_model).spec)


def encoded(brightness: int) -> bytes:
    return cv2.imencode(".png", np.full((64, 64, 3), brightness, np.uint8))[1].tobytes()


def served(runtime, threshold: float = 0.4) -> ServedModel:
    estimator = Estimator(runtime, threshold)
    return ServedModel(estimator, estimator)


def job(runtime, brightness: int, threshold: float = 0.4, pixels: int = 4096) -> Job:
    return Job(encoded(brightness), pixels, served(runtime, threshold), lambda _, poses: (brightness, len(poses)))


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, 20))


async def until_started(runtime, count: int = 1) -> None:
    for _ in range(count):
        assert await asyncio.to_thread(runtime.started.acquire, timeout=20)


def test_jobs_run_in_order_of_arrival_and_in_parallel(runtime) -> None:
    async def scenario():
        queue = ComputeQueue(num_parallel=2, max_waiting=8, max_pixels=10**6)
        tasks = [asyncio.create_task(queue.submit(job(runtime, value))) for value in (10, 20, 30, 40)]
        await until_started(runtime, 2)
        assert queue.num_waiting == 2
        runtime.gate.set()
        done = [await task for task in tasks]
        queue.close()
        return done

    done = run(scenario())
    assert [result.value for result in done] == [(10, 1), (20, 1), (30, 1), (40, 1)]
    assert sorted(runtime.batches[:2]) == [[10], [20]]
    assert sorted(runtime.batches[2:]) == [[30], [40]]
    assert done[0].size_hw == (64, 64)
    assert set(done[0].latency_ms) == {"wait", "decode", "compute"}


def test_job_beyond_the_queue_is_refused_unless_it_is_unbounded(runtime) -> None:
    async def scenario():
        queue = ComputeQueue(num_parallel=1, max_waiting=2, max_pixels=10**6)
        tasks = [asyncio.create_task(queue.submit(job(runtime, value))) for value in (10, 20, 30)]
        await until_started(runtime)
        with pytest.raises(RequestError) as refused:
            await queue.submit(job(runtime, 40))
        tasks.append(asyncio.create_task(queue.submit(job(runtime, 50), bounded=False)))
        await asyncio.sleep(0)
        runtime.gate.set()
        values = [(await task).value[0] for task in tasks]
        assert (await queue.submit(job(runtime, 60))).value[0] == 60  # there is room again
        queue.close()
        return refused.value, values

    refused, values = run(scenario())
    assert (refused.status, refused.headers) == (503, {"Retry-After": "1"})
    assert values == [10, 20, 30, 50]


def test_queue_of_length_0_uses_idle_threads(runtime) -> None:
    async def scenario():
        queue = ComputeQueue(num_parallel=1, max_waiting=0, max_pixels=10**6)
        first = asyncio.create_task(queue.submit(job(runtime, 10)))
        await until_started(runtime)
        with pytest.raises(RequestError):
            await queue.submit(job(runtime, 20))
        runtime.gate.set()
        await first
        queue.close()

    run(scenario())


def test_cancelled_job_is_not_computed(runtime) -> None:
    async def scenario():
        queue = ComputeQueue(num_parallel=1, max_waiting=300, max_pixels=10**6)
        first = asyncio.create_task(queue.submit(job(runtime, 10)))
        await until_started(runtime)
        abandoned = [asyncio.create_task(queue.submit(job(runtime, 20))) for _ in range(200)]
        last = asyncio.create_task(queue.submit(job(runtime, 30)))
        await asyncio.sleep(0)
        assert queue.num_waiting == 201
        for task in (*abandoned, first):  # the first one is running: its result is discarded
            task.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert queue.num_waiting == 1
        runtime.gate.set()
        assert (await last).value == (30, 1)
        queue.close()

    run(scenario())
    assert runtime.batches == [[10], [30]]


def test_gpu_computes_what_waits_in_batches_of_up_to_8(runtime) -> None:
    async def scenario():
        queue = ComputeQueue(num_parallel=1, max_waiting=100, max_pixels=10**6, max_batch=8)
        first = asyncio.create_task(queue.submit(job(runtime, 1)))
        await until_started(runtime)  # a single image does not wait for others
        tasks = [asyncio.create_task(queue.submit(job(runtime, value))) for value in range(2, 13)]
        await asyncio.sleep(0)
        runtime.gate.set()
        values = [(await task).value[0] for task in (first, *tasks)]
        queue.close()
        return values

    assert run(scenario()) == list(range(1, 13))
    assert runtime.batches == [[1], list(range(2, 10)), [10, 11, 12]]


def test_batch_holds_images_of_one_model_and_threshold(runtime, tiny_model) -> None:
    other = GatedRuntime(runtime.spec)
    other.gate.set()

    async def scenario():
        queue = ComputeQueue(num_parallel=1, max_waiting=100, max_pixels=10**6, max_batch=8)
        jobs = [job(runtime, 1), job(runtime, 2), job(other, 3), job(runtime, 4, threshold=0.95), job(runtime, 5)]
        tasks = [asyncio.create_task(queue.submit(one)) for one in jobs]
        await until_started(runtime)
        runtime.gate.set()
        values = [(await task).value for task in tasks]
        queue.close()
        return values

    assert run(scenario()) == [(1, 1), (2, 1), (3, 1), (4, 0), (5, 1)]
    assert runtime.batches == [[1], [2, 5], [4]]
    assert other.batches == [[3]]


def test_damaged_image_of_a_batch_fails_alone(runtime) -> None:
    async def scenario():
        queue = ComputeQueue(num_parallel=1, max_waiting=100, max_pixels=10**6, max_batch=8)
        first = asyncio.create_task(queue.submit(job(runtime, 1)))
        await until_started(runtime)
        damaged = Job(b"\x89PNG\r\n\x1a\n", 1, served(runtime), lambda *_: None)
        broken = Job(encoded(3), 4096, served(runtime), lambda *_: {}["no result"])
        jobs = [job(runtime, 2), damaged, broken, job(runtime, 4)]
        tasks = [asyncio.create_task(queue.submit(one)) for one in jobs]
        await asyncio.sleep(0)
        runtime.gate.set()
        results = await asyncio.gather(first, *tasks, return_exceptions=True)
        queue.close()
        return results

    _, second, damaged, broken, fourth = run(scenario())
    assert (second.value, fourth.value) == ((2, 1), (4, 1))
    assert isinstance(damaged, InputError)
    assert isinstance(broken, KeyError)
    assert runtime.batches == [[1], [2, 3, 4]]


def test_failing_model_fails_its_jobs_only(runtime) -> None:
    failing = SimpleNamespace(runtime=object(), threshold=0.4, batch=lambda images: 1 / 0)
    runtime.gate.set()

    async def scenario():
        queue = ComputeQueue(num_parallel=1, max_waiting=9, max_pixels=10**6)
        broken = job(runtime, 1)
        object.__setattr__(broken, "model", SimpleNamespace(estimator=failing, alone=failing))
        with pytest.raises(ZeroDivisionError):
            await queue.submit(broken)
        result = await queue.submit(job(runtime, 2))
        queue.close()
        return result

    assert run(scenario()).value == (2, 1)


def test_pixels_in_work_are_limited_but_a_single_large_image_runs(runtime) -> None:
    async def scenario():
        queue = ComputeQueue(num_parallel=3, max_waiting=9, max_pixels=10_000)
        sizes = [20_000, 6000, 4000, 4096]
        tasks = [
            asyncio.create_task(queue.submit(job(runtime, index, pixels=max(4096, size))))
            for index, size in enumerate(sizes)
        ]
        await until_started(runtime)
        assert queue.num_waiting == 3  # although two threads are idle
        runtime.gate.set()
        values = [(await task).value[0] for task in tasks]
        queue.close()
        return values

    assert run(scenario()) == [0, 1, 2, 3]


def test_abandoned_large_image_lets_the_next_one_start(runtime) -> None:
    async def scenario():
        queue = ComputeQueue(num_parallel=3, max_waiting=9, max_pixels=10_000)
        tasks = [
            asyncio.create_task(queue.submit(job(runtime, index, pixels=pixels)))
            for index, pixels in enumerate([5000, 9000, 4096])
        ]
        await until_started(runtime)
        assert queue.num_waiting == 2
        tasks[1].cancel()
        await until_started(runtime)
        assert queue.num_waiting == 0
        runtime.gate.set()
        await tasks[2]
        await tasks[0]
        queue.close()

    run(scenario())
    assert runtime.batches == [[0], [2]]


def test_single_job_gets_all_threads(runtime) -> None:
    alone, shared = runtime, GatedRuntime(runtime.spec)
    model = ServedModel(Estimator(shared), Estimator(alone))

    async def scenario():
        queue = ComputeQueue(num_parallel=2, max_waiting=9, max_pixels=10**6)
        jobs = [Job(encoded(value), 4096, model, lambda _, poses: len(poses)) for value in (1, 2, 3)]
        first = asyncio.create_task(queue.submit(jobs[0]))
        await until_started(alone)
        others = [asyncio.create_task(queue.submit(job)) for job in jobs[1:]]
        await until_started(shared)
        alone.gate.set()
        shared.gate.set()
        await asyncio.gather(first, *others)
        await queue.submit(Job(encoded(4), 4096, model, lambda *_: None))
        queue.close()

    run(scenario())
    assert alone.batches == [[1], [4]]
    assert shared.batches == [[2], [3]]
