"""The order of tasks, and the search for files that end their worker."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from e2pose.batch.manifest import Item, Shard
from e2pose.batch.worker import Task

_MAX_SEARCHES = 2  # a second one finds files that end their worker only sometimes


@dataclass
class _Trouble:
    """A shard whose worker ended."""

    shard: Shard
    num_searches: int = 0
    num_probes: int = 0  # that are not finished
    faulty: dict[int, str] = field(default_factory=dict)


class Scheduler:
    """Yields tasks until each shard is finished.

    A shard whose worker ends is repeated once. If that worker ends too, halves of the shard are probed, and halves of
    those that end their worker, down to single files. Then the shard is processed without the faulty files. If that
    fails after the second search too, all its files are faulty.
    """

    def __init__(self, shards: Iterator[Shard]) -> None:
        self._shards = shards
        self._urgent: deque[Task] = deque()
        self._troubles: dict[int, _Trouble] = {}

    def next(self) -> Task | None:
        """Returns the next task; None if there is none at the moment."""
        if self._urgent:
            return self._urgent.popleft()
        shard = next(self._shards, None)
        return None if shard is None else Task(shard.number, shard.items)

    def repeat(self, task: Task) -> None:
        """Schedules a task again that was lost through no fault of its own."""
        self._urgent.append(task)

    def finish(self, task: Task) -> None:
        """Records that a worker finished a task."""
        if task.probe is None:
            self._troubles.pop(task.shard, None)
        else:
            self._end_probe(self._troubles[task.shard])

    def end(self, task: Task, reason: str) -> None:
        """Records that a task ended its worker, and why."""
        trouble = self._troubles.get(task.shard)
        if trouble is None:
            self._troubles[task.shard] = _Trouble(Shard(task.shard, list(task.items)))
            self._urgent.append(task)
        elif task.probe is not None:
            if len(task.items) > 1:
                self._probe(trouble, task.probe, task.items)
            else:
                trouble.faulty[task.probe] = f"its worker process ended: {reason}"
            self._end_probe(trouble)
        elif trouble.num_searches < _MAX_SEARCHES:
            trouble.num_searches += 1
            self._probe(trouble, 0, task.items)
        else:
            every = range(len(task.items))
            rest = dict.fromkeys(every, f"its worker process ended, although each file alone succeeds: {reason}")
            self._urgent.append(Task(task.shard, task.items, {**rest, **trouble.faulty}))

    def _probe(self, trouble: _Trouble, first: int, items: Sequence[Item]) -> None:
        middle = (len(items) + 1) // 2
        for start, part in ((first, items[:middle]), (first + middle, items[middle:])):
            if part:
                known = {
                    index: trouble.faulty[start + index]
                    for index in range(len(part))
                    if start + index in trouble.faulty
                }
                trouble.num_probes += 1
                self._urgent.append(Task(trouble.shard.number, part, known, probe=start))

    def _end_probe(self, trouble: _Trouble) -> None:
        trouble.num_probes -= 1
        if not trouble.num_probes:
            self._urgent.append(Task(trouble.shard.number, trouble.shard.items, trouble.faulty))
