"""Sinks for annotation tools, in which the poses can be corrected."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from e2pose.core.errors import OutputError
from e2pose.core.files import atomic_path, write_error
from e2pose.core.frame import Frame
from e2pose.core.poses import Poses
from e2pose.formats.deeplabcut import read_animals
from e2pose.formats.sleap_results import check_sleap, write_sleap
from e2pose.formats.tool_results import PoseFrame, to_coco_labels, to_deeplabcut_csv, to_label_studio_tasks
from e2pose.sinks.base import NoticeHandler, ignore_notice, keeps_output


class LabelSink:
    """Base of sinks that collect the poses of all frames and write one file at the end; without frames, none.

    An existing file is never replaced because it may contain corrections.

    Raises:
        OutputError: The file exists.
    """

    accepts_videos = False

    def __init__(self, path: str | Path, on_notice: NoticeHandler = ignore_notice) -> None:
        self._path = Path(path)
        self._on_notice = on_notice
        self._frames: list[PoseFrame] = []
        if self._path.exists():
            raise OutputError(
                f"'{path}' exists and may contain corrected labels, so it is not replaced",
                "choose another name, or move the file",
            )

    def write(self, frame: Frame, poses: Poses) -> None:
        """Collects the poses of a frame.

        Raises:
            OutputError: The frame is not from an image file, or for SLEAP from a video file.
        """
        origin = frame.origin
        is_image = origin.is_still and origin.frame_count in (None, 1)
        if origin.path is None or not (is_image or (self.accepts_videos and not origin.is_still)):
            kinds = "image and video files" if self.accepts_videos else "image files"
            raise OutputError(
                f"'{self._path}' cannot describe '{origin.name}': the labels refer to {kinds}",
                "use images as input; for frames of a video, write them as images first, or use a .slp file",
            )
        self._frames.append(PoseFrame(origin.path, None if is_image else frame.index, frame.size_hw, poses))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Writes the file, or nothing if `keeps_output` says so."""
        if not keeps_output(error) or not self._frames:
            return
        with atomic_path(self._path) as temporary:
            try:
                self._save(temporary, self._frames)
            except OSError as failure:
                raise write_error(self._path, failure) from failure

    def _save(self, path: Path, frames: Sequence[PoseFrame]) -> None:
        raise NotImplementedError


class CocoLabelsSink(LabelSink):
    """Writes COCO annotations (not results), which CVAT, Roboflow and others import."""

    def _save(self, path: Path, frames: Sequence[PoseFrame]) -> None:
        path.write_text(json.dumps(to_coco_labels(frames)), encoding="utf-8")


class LabelStudioSink(LabelSink):
    """Writes tasks of Label Studio with predictions."""

    def _save(self, path: Path, frames: Sequence[PoseFrame]) -> None:
        path.write_text(json.dumps(to_label_studio_tasks(frames), indent=1), encoding="utf-8")


class DeepLabCutSink(LabelSink):
    """Writes the table `CollectedData_SCORER.csv` of DeepLabCut, in the form of the project that the file lies in."""

    def _save(self, path: Path, frames: Sequence[PoseFrame]) -> None:
        most = max(len(frame.poses) for frame in frames)
        videos = self._path.absolute().parent.parent
        animals = read_animals(videos.parent / "config.yaml") if videos.name == "labeled-data" else None
        if animals is None:
            animals = [f"individual{number}" for number in range(1, most + 1)] if most > 1 else []
        elif most > (limit := max(len(animals), 1)):
            extra = sum(max(len(frame.poses) - limit, 0) for frame in frames)
            self._on_notice(f"{self._path}: omitted {extra} poses; the project has {limit} animals per image at most")
        scorer = re.sub(r"(?i)^CollectedData_", "", self._path.stem)
        text = to_deeplabcut_csv(frames, scorer, animals or None)
        path.write_text(text, encoding="utf-8", errors="backslashreplace")


class SleapSink(LabelSink):
    """Writes a file of SLEAP with predicted instances.

    Raises:
        MissingExtraError: The extra "labels" is not installed.
    """

    accepts_videos = True

    def __init__(self, path: str | Path, on_notice: NoticeHandler = ignore_notice) -> None:
        check_sleap()
        super().__init__(path, on_notice)

    def _save(self, path: Path, frames: Sequence[PoseFrame]) -> None:
        write_sleap(path, frames)
