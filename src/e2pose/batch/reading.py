"""Reads the items of a shard as frames. Errors of single files are reported with the item, not raised."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import replace
from itertools import chain
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

from e2pose.batch.inputs import map_ahead
from e2pose.batch.manifest import Item
from e2pose.batch.storage import from_text, open_file
from e2pose.core.address import is_address
from e2pose.core.errors import E2PoseError
from e2pose.core.frame import Frame
from e2pose.sources.files import FilesSource
from e2pose.sources.segments import SegmentSource

_NUM_READERS = 4  # threads that read and decode images ahead, and mostly wait for the file system
_COPIED_BYTES = 4 << 20


class Event(NamedTuple):
    """A frame of an item or, without a frame, the end of the item."""

    item: Item
    frame: Frame | None
    read_ms: float
    error: str | None = None


def read_items(
    items: Sequence[Item], faulty: Mapping[int, str], keep_alive: Callable[[], None] = lambda: None
) -> Generator[Event]:
    """Yields the frames and the end of each item, in order.

    Args:
        items: Images, videos and segments.
        faulty: Positions of items that are not read, with the error to report for them.
        keep_alive: Called while a video is copied from an object store.
    """
    images = [item for position, item in enumerate(items) if not item.is_video and position not in faulty]
    threads = ThreadPoolExecutor(_NUM_READERS, "e2pose-read")
    try:
        opened = map_ahead(threads, _start_image, images, ahead=_NUM_READERS)
        for position, item in enumerate(items):
            if position in faulty:
                yield Event(item, None, 0.0, faulty[position])
            else:
                yield from _read(item, keep_alive) if item.is_video else next(opened)
    finally:
        threads.shutdown(cancel_futures=True)


def describe(error: Exception) -> str:
    """Returns the message of an error, with the type of an unexpected one."""
    return error.message if isinstance(error, E2PoseError) else f"{type(error).__name__}: {error}"


def _start_image(item: Item) -> Iterator[Event]:
    """Returns the events of an image file, of which the first has been computed; others are pages or an animation."""
    events = _read(item)
    return chain([next(events)], events)


def _read(item: Item, keep_alive: Callable[[], None] = lambda: None) -> Iterator[Event]:
    start = perf_counter()
    text = None
    with ExitStack() as opened:
        path = Path(item.uri if is_address(item.uri) else from_text(item.uri))
        try:
            if is_address(item.uri) and item.part is None:
                path = _copy(item.uri, opened, keep_alive)
            for frame in _frames(item, path, opened):
                named = replace(frame, origin=replace(frame.origin, name=item.uri))
                yield Event(item, named, 1000 * (perf_counter() - start))
                start = perf_counter()
        except Exception as error:  # a library may not expect the way in which a file is damaged
            text = describe(error).replace(str(path), item.uri)
    yield Event(item, None, 1000 * (perf_counter() - start), text)


def _frames(item: Item, path: Path, opened: ExitStack) -> Iterator[Frame]:
    if item.part is None:
        return iter(FilesSource([path]))
    video = opened.enter_context(open_file(item.uri)) if is_address(item.uri) else str(path)
    return iter(opened.enter_context(closing(SegmentSource(video, item.uri, item.part))))


def _copy(address: str, opened: ExitStack, keep_alive: Callable[[], None]) -> Path:
    """Copies a file from an object store, because decoders jump in it."""
    path = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="e2pose-"))) / Path(address).name
    with open_file(address) as remote, path.open("wb") as local:
        while block := remote.read(_COPIED_BYTES):
            local.write(block)
            keep_alive()
    return path
