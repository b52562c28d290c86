"""Chooses the sink for the suffix of an output."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from fnmatch import fnmatch
from pathlib import Path

from e2pose.core.address import is_address, redact_address
from e2pose.core.arguments import check_callable, check_list, check_path
from e2pose.core.errors import OptionError, OutputError
from e2pose.core.files import check_folder, check_target, expand_home, reason_of
from e2pose.sinks.base import Draw, NoticeHandler, Sink, ignore_notice
from e2pose.sinks.folder import FolderSink
from e2pose.sinks.images import IMAGE_SUFFIXES, ImageFileSink, check_not_an_input
from e2pose.sinks.labels import CocoLabelsSink, DeepLabCutSink, LabelStudioSink, SleapSink
from e2pose.sinks.numbered import NumberedFilesSink, count_numbers
from e2pose.sinks.parquet import ParquetSink
from e2pose.sinks.text import CocoJsonSink, CsvSink, JsonlSink
from e2pose.sinks.video import VIDEO_SUFFIXES, VideoFileSink
from e2pose.sinks.virtual_camera import CAMERA_PREFIX, VirtualCameraSink


def _open_coco(path: Path, _: Draw, inputs: Collection[Path], *_rest: object) -> Sink:
    return CocoJsonSink(path, [file for file in inputs if file.suffix.lower() not in VIDEO_SUFFIXES])


_SINKS: dict[str, Callable[[Path, Draw, Collection[Path], NoticeHandler], Sink]] = {
    **dict.fromkeys(sorted(IMAGE_SUFFIXES), lambda path, draw, *_: ImageFileSink(path, draw)),
    **dict.fromkeys(sorted(VIDEO_SUFFIXES), lambda path, draw, _, on_notice: VideoFileSink(path, draw, on_notice)),
    ".json": _open_coco,
    ".jsonl": lambda path, *_: JsonlSink(path),
    ".csv": lambda path, *_: CsvSink(path),
    ".parquet": lambda path, *_: ParquetSink(path),
}


_LABEL_SINKS: dict[str, Callable[[Path, NoticeHandler], Sink]] = {
    "CollectedData_*.csv": DeepLabCutSink,
    "*.coco.json": CocoLabelsSink,
    "*.labelstudio.json": LabelStudioSink,
    "*.slp": SleapSink,
}
"""Names of outputs for annotation tools, which take precedence over suffixes."""

_BARE_NAMES = {*_SINKS, *(pattern.removeprefix("*") for pattern in _LABEL_SINKS)}


def open_sink(
    target: str | Path, *, draw: Draw, inputs: Collection[Path] = (), on_notice: NoticeHandler = ignore_notice
) -> Sink:
    """Creates the sink for an output and checks that the output can be written.

    A name without suffix, a name that ends with a slash and an existing folder select a folder of images and videos. A
    name with `%06d` selects one file per frame, and `camera:` a virtual camera. Otherwise the suffix selects the sink,
    or a name such as `labels.coco.json` the labels of an annotation tool.

    Args:
        target: The file or folder to write.
        draw: Draws the images, for sinks that write images or videos.
        inputs: The files that are read: they must not be replaced, and numbers in their names are ids in COCO results.
        on_notice: Receives a message about sound of a video that is left out.

    Raises:
        OptionError: The name is empty, its suffix is not supported, or it has several frame numbers.
        MissingExtraError: The sink needs a package that is not installed.
        OutputError: The target is an input, or its folder cannot be written.
    """
    check_callable("'draw'", draw, hint="pass a function that takes a frame and poses and returns an image")
    check_callable("'on_notice'", on_notice, hint="pass a function that takes a text, or omit it")
    listed = list(inputs) if isinstance(inputs, set | frozenset) else inputs
    inputs = [
        Path(check_path("an input", path)) for path in check_list("'inputs'", listed, hint="pass a list of paths")
    ]
    target = check_path("the name of an output", target)
    if is_address(target):
        raise OptionError(
            f"cannot write to the network address '{redact_address(target)}'", "write a file, and publish it afterwards"
        )
    if str(target) == "-":
        raise OptionError(
            "'-' (standard output) is not supported as an output",
            "write a file, such as -o poses.jsonl; for a folder of this name, use './-'",
        )
    if str(target).startswith(CAMERA_PREFIX):
        return VirtualCameraSink(draw, str(target).removeprefix(CAMERA_PREFIX))
    try:
        path = Path(target).expanduser()
        is_folder = not path.suffix or path.is_dir() or str(target).endswith(("/", os.sep))
        _check_name(path, is_folder=is_folder)
        if is_folder:
            check_folder(path)
        else:
            check_target(path)
    except (OSError, RuntimeError) as error:  # an unknown home folder is a RuntimeError
        reason = reason_of(error)
        raise OutputError(f"cannot write '{target}': {reason}", "check the path and its permissions") from error
    if is_folder:
        return FolderSink(path, draw, inputs=inputs, on_notice=on_notice)
    if count_numbers(path.name):
        return NumberedFilesSink(path, draw, inputs=inputs)
    for pattern, open_labels in _LABEL_SINKS.items():
        if fnmatch(path.name.lower(), pattern.lower()):
            check_not_an_input(path, inputs)
            return open_labels(path, on_notice)
    suffix = path.suffix.lower()
    if suffix not in _SINKS:
        raise OptionError(
            f"cannot write '{target}': unsupported output type '{suffix}'",
            f"use a folder that ends with a slash, or a file with the suffix {', '.join([*_SINKS, '.slp'])}",
        )
    check_not_an_input(path, inputs)
    return _SINKS[suffix](path, draw, inputs, on_notice)


def _check_name(path: Path, *, is_folder: bool) -> None:
    """Raises an `OptionError` if a name is only a suffix, or has frame numbers that would not be replaced."""
    if path.name.lower() in _BARE_NAMES and not path.exists():
        raise OptionError(
            f"the output '{path}' has no name before its suffix", f"add one: '{path.with_name('poses' + path.name)}'"
        )
    folder = path if is_folder else path.parent
    if any(count_numbers(part.name) and not part.exists() for part in (folder, *folder.parents)):
        raise OptionError(
            f"the output '{path}' has a frame number such as %06d in the name of a folder",
            "use it in the name of a file, such as 'frames/%06d.jpg', or create the folder before",
        )
    if not is_folder and (count := count_numbers(path.name)) > 1:
        raise OptionError(
            f"the output '{path}' has {count} frame numbers such as %06d; accepted is one",
            "keep one of them; frames are numbered over all inputs",
        )


def check_distinct(targets: Sequence[str | Path]) -> None:
    """Checks that no two outputs are the same file or folder, also by another path or a link.

    Raises:
        OptionError: Two outputs are the same.
    """
    seen: dict[Path, str | Path] = {}
    for target in targets:
        try:
            path = expand_home(target).resolve()
        except (OSError, RuntimeError):  # a RuntimeError in a loop of links
            continue  # `open_sink` reports the reason
        if path in seen:
            raise OptionError(
                f"the outputs '{seen[path]}' and '{target}' are the same", "name each output once, or change one name"
            )
        seen[path] = target
