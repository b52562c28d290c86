import os
import platform
from pathlib import Path

import pytest

from e2pose.runtimes import cpu
from e2pose.runtimes.cpu import cpu_info, has_vnni, usable_cores


@pytest.mark.parametrize(
    ("machine", "info", "vnni"),
    [
        ("x86_64", "flags\t\t: fpu avx2 avx512f\n", False),
        ("x86_64", "flags\t\t: fpu avx2 avx_vnni\n", True),
        ("x86_64", "flags\t\t: fpu avx512_vnni\n", True),
        ("aarch64", "Features\t: fp asimd\n", None),
        ("arm64", None, None),
        ("AMD64", None, False),
    ],
    ids=["old", "small core", "server", "arm", "mac", "windows"],
)
def test_vnni_is_detected_on_x86_only(
    machine: str, info: str | None, vnni: bool | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if info:
        (tmp_path / "cpuinfo").write_text(f"model name\t: A CPU\n{info}", encoding="utf-8")
    monkeypatch.setattr(cpu, "_CPU_INFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(platform, "machine", lambda: machine)
    assert has_vnni() is vnni
    assert cpu_info("model name") == ("A CPU" if info else None)


def test_usable_cores_respect_the_affinity_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "cpu_quota", lambda: None)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 5}, raising=False)
    assert usable_cores() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 12)
    assert usable_cores() == 12


@pytest.mark.parametrize(("quota", "cores"), [(0.2, 1), (1.0, 1), (1.5, 2), (2.0, 2), (64.0, 3), (0.0, 1)])
def test_usable_cores_respect_the_cpu_quota_of_a_container(
    quota: float, cores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 5}, raising=False)
    monkeypatch.setattr(cpu, "cpu_quota", lambda: quota)
    assert usable_cores() == cores
