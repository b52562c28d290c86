import pytest

from e2pose.training import memory


def test_freed_memory_is_kept_where_the_c_library_is_glibc(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, int]] = []

    class Library:
        def __init__(self, name: None) -> None:
            self.mallopt = lambda option, value: told.append((option, value))

    monkeypatch.setattr(memory.ctypes, "CDLL", Library)
    memory.keep_freed_memory()
    assert (-4, 0) in told  # M_MMAP_MAX: nothing is mapped apart
    assert (-1, -1) in told  # M_TRIM_THRESHOLD: nothing is given back


def refuse(name: None) -> None:
    raise OSError(name)


@pytest.mark.parametrize("library", [refuse, lambda name: object()], ids=["none", "another"])
def test_other_c_libraries_are_left_alone(library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory.ctypes, "CDLL", library)
    memory.keep_freed_memory()
