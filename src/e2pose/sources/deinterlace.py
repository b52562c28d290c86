"""Deinterlacing of video frames."""

from __future__ import annotations

from collections.abc import Iterator

import av
from av.filter import Graph
from av.video.frame import VideoFrame

_FILTER = "bwdif"
_OPTIONS = "mode=send_frame:deint=interlaced"  # one image per frame; progressive frames are not changed


class Deinterlacer:
    """Removes the comb pattern of interlaced frames; progressive videos are not filtered at all.

    The filter starts with the first interlaced frame. It then holds one frame back, which `flush` returns.
    """

    def __init__(self) -> None:
        self._graph: Graph | None = None
        self._layout: tuple[int, int, str] | None = None

    def __call__(self, frame: VideoFrame) -> Iterator[VideoFrame]:
        """Yields the frames that are complete, with unchanged timestamps."""
        if self._graph is None and not frame.interlaced_frame:
            yield frame
            return
        layout = frame.width, frame.height, frame.format.name
        if layout != self._layout:  # also where the size changes within the video
            yield from self.flush()
            self._graph, self._layout = _open_graph(frame), layout
        assert self._graph is not None
        self._graph.push(frame)
        yield from _pull(self._graph)

    def flush(self) -> Iterator[VideoFrame]:
        """Yields the frame that the filter holds."""
        if self._graph is not None:
            self._graph.push(None)
            yield from _pull(self._graph)
            self._graph = self._layout = None


def _open_graph(frame: VideoFrame) -> Graph:
    graph = Graph()
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base)
    graph.link_nodes(source, graph.add(_FILTER, _OPTIONS), graph.add("buffersink")).configure()
    return graph


def _pull(graph: Graph) -> Iterator[VideoFrame]:
    while True:
        try:
            frame = graph.pull()
        except (av.BlockingIOError, av.EOFError):
            return
        assert isinstance(frame, VideoFrame)
        yield frame
