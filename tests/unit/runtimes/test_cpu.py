import platform
from pathlib import Path

import pytest

from e2pose.core import processor
from e2pose.runtimes.cpu import sums_may_overflow


@pytest.mark.parametrize(
    ("machine", "says", "overflows"),
    [
        ("x86_64", "flags\t\t: fpu avx2 avx512f\n", True),
        ("x86_64", "flags\t\t: fpu avx2 avx_vnni\n", False),
        ("x86_64", "flags\t\t: fpu avx512_vnni\n", False),
        ("aarch64", "Features\t: fp asimd\n", False),
        ("arm64", None, False),
        ("AMD64", None, True),
    ],
    ids=["old", "small core", "server", "arm", "mac", "windows"],
)
def test_x86_that_is_not_known_to_have_vnni(
    machine: str, says: str | None, overflows: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if says:
        (tmp_path / "cpuinfo").write_text(f"model name\t: A CPU\n{says}", encoding="utf-8")
    monkeypatch.setattr(processor, "_CPU_INFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(platform, "machine", lambda: machine)
    assert sums_may_overflow() == overflows
