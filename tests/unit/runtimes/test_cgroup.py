"""CPU quotas in control groups of both versions, as the files of Docker, Kubernetes and systemd state them."""

from pathlib import Path

import pytest

from e2pose.runtimes import cgroup
from e2pose.runtimes.cgroup import cpu_quota

V2 = "30 23 0:26 / {root} rw,nosuid - cgroup2 cgroup2 rw,nsdelegate"
V1 = "33 31 0:30 {group} {root}/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct"
V1_MEMORY = "35 31 0:32 / {root}/memory rw - cgroup cgroup rw,memory"


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Writes the files of a process and of its groups."""
    monkeypatch.setattr(cgroup, "_PROCESS", tmp_path / "proc")

    def write(mounts: str, process: str, files: dict[str, str]) -> None:
        for name, text in {"proc/mountinfo": mounts, "proc/cgroup": process, **files}.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text.format(root=tmp_path / "sys", group="/docker/c50"))

    return write


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"sys/cpu.max": "150000 100000\n"}, 1.5),
        ({"sys/cpu.max": "max 100000\n"}, None),
        ({"sys/a/b/cpu.max": "50000 100000\n"}, 0.5),
        ({"sys/a/b/cpu.max": "max 100000\n", "sys/a/cpu.max": "400000 100000\n"}, 4.0),
        ({"sys/a/b/cpu.max": "200000 100000\n", "sys/a/cpu.max": "100000 100000\n"}, 1.0),
        ({"sys/other/cpu.max": "100000 100000\n"}, None),
        ({"sys/cpu.max": "damaged"}, None),
        ({"sys/cpu.max": "100000 0"}, None),
        ({}, None),
    ],
)
def test_smallest_quota_of_nested_version_2_groups_applies(groups, files, quota) -> None:
    groups(f"21 23 0:5 / /tmp rw - tmpfs  rw\ndamaged\n{V2}\n", "damaged\n0::/a/b\n", files)
    assert cpu_quota() == quota


@pytest.mark.parametrize("quota", [None, 2.5])
def test_version_1_group_of_a_container_is_read(groups, quota) -> None:
    text = "-1\n" if quota is None else "250000\n"
    folder = "sys/cpu,cpuacct"
    files = {f"{folder}/cpu.cfs_quota_us": text, f"{folder}/cpu.cfs_period_us": "100000\n"}
    groups(f"{V1_MEMORY}\n{V1}\n", "9:memory:/x\n4:cpu,cpuacct:{group}\n", files)
    assert cpu_quota() == quota


def test_nested_version_1_group_below_the_mount_is_read(groups) -> None:
    files = {
        "sys/cpu,cpuacct/inner/cpu.cfs_quota_us": "10000",
        "sys/cpu,cpuacct/inner/cpu.cfs_period_us": "20000",
    }
    groups(V1, "4:cpu,cpuacct:{group}/inner\n", files)
    assert cpu_quota() == 0.5


def test_group_outside_of_the_mounted_one_counts_as_the_mounted_one(groups) -> None:
    groups(V2, "0::/../elsewhere\n", {"sys/cpu.max": "100000 100000"})
    assert cpu_quota() == 1.0


def test_systems_without_control_groups_have_no_quota(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroup, "_PROCESS", tmp_path / "none")
    assert cpu_quota() is None
