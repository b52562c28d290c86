"""The cache folder and the offline switch."""

import os
from pathlib import Path

import pytest

from e2pose.zoo.cache import cache_folder, is_offline


def test_cache_folder_follows_e2pose_home(monkeypatch) -> None:
    monkeypatch.delenv("E2POSE_HOME", raising=False)
    assert cache_folder("bench").parts[-2:] == ("e2pose", "bench") or os.name == "nt"
    monkeypatch.setenv("E2POSE_HOME", "here")
    assert cache_folder("bench") == Path("here/bench")


@pytest.mark.parametrize(("value", "offline"), [(None, False), ("", False), ("0", False), ("1", True), ("yes", True)])
def test_offline_is_any_value_but_empty_and_0(monkeypatch, value: str | None, offline: bool) -> None:
    monkeypatch.delenv("E2POSE_OFFLINE", raising=False)
    if value is not None:
        monkeypatch.setenv("E2POSE_OFFLINE", value)
    assert is_offline() == offline
