"""The memory of a training on the processor."""

from __future__ import annotations

import ctypes

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # of glibc's malloc.h
_ROOM = 1 << 28  # bytes that are taken at once beyond what is needed


def keep_freed_memory() -> None:
    """Lets memory that was freed stay with the process, where the C library can be told so.

    Large pieces otherwise go back to the system and come anew, page by page and cleared, many times in each step; that
    takes about a quarter of a step. Source: mallopt(3).
    """
    try:
        tell = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # not glibc
        return
    tell(_MMAP_MAX, 0)
    tell(_TRIM_THRESHOLD, -1)
    tell(_TOP_PAD, _ROOM)
