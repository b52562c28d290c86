import random

import pytest

from e2pose.batch.manifest import Item, Shard
from e2pose.batch.schedule import Scheduler


def make_shards(*sizes):
    return [
        Shard(number, [Item(position, 0, str(position), False, None) for position in range(size)])
        for number, size in enumerate(sizes)
    ]


def simulate(shards, killers, *, order=None, is_fatal=lambda task: False):
    """Runs all tasks; those with a killer (shard, position) that is not marked as faulty end their worker."""
    scheduler, finished, pending, log = Scheduler(iter(shards)), {}, [], []
    while True:
        while (task := scheduler.next()) is not None:
            pending.append(task)
        if not pending:
            return finished, log
        task = pending.pop(0 if order is None else order.randrange(len(pending)))
        log.append(task)
        first = task.probe or 0
        positions = {first + index for index in range(len(task.items)) if index not in task.faulty}
        assert [item.id for item in task.items] == list(range(first, first + len(task.items)))
        if any((task.shard, position) in killers for position in positions) or is_fatal(task):
            scheduler.end(task, "signal SIGSEGV")
        else:
            scheduler.finish(task)
            if task.probe is None:
                assert task.shard not in finished
                finished[task.shard] = set(task.faulty)


def test_healthy_shards_run_once():
    finished, log = simulate(make_shards(3, 1, 2), set())
    assert finished == {0: set(), 1: set(), 2: set()}
    assert len(log) == 3


@pytest.mark.parametrize("seed", range(20))
def test_files_that_end_their_worker_are_found(seed):
    generator = random.Random(seed)
    shards = make_shards(*(generator.randint(1, 40) for _ in range(6)))
    every = [(shard.number, item.id) for shard in shards for item in shard.items]
    killers = set(generator.sample(every, min(len(every), generator.randint(0, 9))))
    finished, _ = simulate(shards, killers, order=generator)
    assert finished == {shard.number: {item for number, item in killers if number == shard.number} for shard in shards}


def test_one_file_among_2000_takes_few_tasks():
    finished, log = simulate(make_shards(2000), {(0, 777)})
    assert finished == {0: {777}}
    assert len(log) <= 2 + 2 * 11 + 1


def test_shard_that_fails_once_is_repeated_whole():
    deaths = iter([True, False])
    finished, log = simulate(make_shards(5), set(), is_fatal=lambda _: next(deaths))
    assert finished == {0: set()}
    assert [task.probe for task in log] == [None, None]


def test_file_that_ends_its_worker_only_sometimes_is_found_by_the_second_search():
    calls = iter([True, True, False, True, True, True, True])  # 2 runs, its probe, the next run, the second search

    def is_fatal(task):
        first = task.probe or 0
        return 6 in range(first, first + len(task.items)) and 6 - first not in task.faulty and next(calls)

    finished, _ = simulate(make_shards(8), {(0, 1)}, is_fatal=is_fatal)
    assert finished == {0: {1, 6}}


def test_shard_that_only_fails_as_a_whole_is_given_up():
    finished, _ = simulate(make_shards(8), set(), is_fatal=lambda task: len(task.items) - len(task.faulty) == 8)
    assert finished == {0: set(range(8))}


def test_reason_is_kept_for_the_file():
    scheduler = Scheduler(iter(make_shards(1)))
    for _ in range(3):
        task = scheduler.next()
        scheduler.end(task, "the time limit was exceeded")
    assert scheduler.next().faulty == {0: "its worker process ended: the time limit was exceeded"}


def test_lost_task_is_repeated_without_blame():
    scheduler = Scheduler(iter(make_shards(4)))
    for _ in range(5):
        scheduler.repeat(scheduler.next())
    assert scheduler.next().faulty == {}
    assert scheduler.next() is None
