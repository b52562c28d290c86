"""The CPU quota of the control groups of this process, by which containers are limited on Linux.

Source: https://docs.kernel.org/admin-guide/cgroup-v2.html (`cpu.max`),
https://docs.kernel.org/scheduler/sched-bwc.html (`cpu.cfs_quota_us`), proc_pid_mountinfo(5), cgroups(7).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

_PROCESS = Path("/proc/self")
_MOUNT = re.compile(r"\S+ \S+ \S+ (\S+) (\S+) .*- (cgroup2?) \S* (\S+)")  # root, mount point, kind, options


def cpu_quota() -> float | None:
    """Returns the CPU time that this process may use, in cores, such as 1.5; None without a limit.

    The smallest quota of the group and the groups above it applies.
    """
    quotas = [quota for folder in _cpu_groups() if (quota := _quota(folder)) is not None]
    return min(quotas, default=None)


def _cpu_groups() -> Iterator[Path]:
    """Yields the folders of the groups that this process belongs to, with the groups above them."""
    names = dict(line.split(":", 2)[1:] for line in _lines("cgroup") if line.count(":") >= 2)
    for mount in filter(None, map(_MOUNT.match, _lines("mountinfo"))):
        root, point, kind, options = mount.groups()
        if kind == "cgroup2":
            name = names.get("", "/")
        elif "cpu" in options.split(","):
            name = next((name for controllers, name in names.items() if "cpu" in controllers.split(",")), "/")
        else:
            continue
        # In a container, the root of the mount may be the container's group rather than the one of the machine.
        below = PurePosixPath(name).relative_to(root) if PurePosixPath(name).is_relative_to(root) else PurePosixPath()
        folder = Path(point) / below
        yield from (folder, *folder.parents[: len(below.parts)])


def _quota(folder: Path) -> float | None:
    with suppress(OSError, ValueError, ZeroDivisionError):
        if (folder / "cpu.max").is_file():
            quota, period = (folder / "cpu.max").read_text(encoding="ascii").split()
        else:
            files = (folder / "cpu.cfs_quota_us", folder / "cpu.cfs_period_us")
            quota, period = (file.read_text(encoding="ascii") for file in files)
        if quota != "max" and int(quota) >= 0:  # -1 is no limit in version 1
            return int(quota) / int(period)
    return None


def _lines(name: str) -> list[str]:
    try:
        return (_PROCESS / name).read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:  # not Linux
        return []
