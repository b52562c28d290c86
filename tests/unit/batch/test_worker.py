import os
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from e2pose.batch.manifest import Item
from e2pose.batch.worker import Task, WorkerOptions, hash_model, run_task
from e2pose.core.errors import ModelError, OutputError
from e2pose.inference.estimator import Estimator
from e2pose.inference.run import run
from e2pose.runtimes.options import DEFAULT_OPTIONS
from e2pose.sinks.open import open_sink
from e2pose.sinks.parquet import ParquetSink
from e2pose.sources.open import open_source
from e2pose.sources.segments import cut_segments
from e2pose.tracking.smoothing import Smoother
from e2pose.tracking.tracker import Tracker
from helpers.media import some_persons, video_frame
from helpers.synthetic import write_image, write_video


@pytest.fixture
def options(tmp_path, tiny_model):
    return WorkerOptions(
        str(tmp_path / "job"), str(tiny_model), hash_model(str(tiny_model), DEFAULT_OPTIONS), DEFAULT_OPTIONS
    )


def item(number, path, *, part=None, segment=0):
    return Item(number, segment, str(path), str(path).endswith(".mp4"), part)


def rows_of(tmp_path, name, shard=0):
    return pq.read_table(tmp_path / "job" / name / f"part-{shard:06d}.parquet").to_pylist()


@pytest.fixture
def files(tmp_path):
    """Images and a video, two of them unreadable."""
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    return [
        item(10, write_image(tmp_path / "white.png", (40, 60))),
        item(11, tmp_path / "bad.jpg"),
        item(12, write_image(tmp_path / "black.png", (30, 50), 0)),
        item(13, write_video(tmp_path / "film.mp4", frames=4)),
        item(14, tmp_path / "missing.mp4"),
        item(15, write_image(tmp_path / "last.png", (20, 30))),
    ]


@pytest.mark.parametrize("images_per_run", [1, 2, 3, 16])
def test_every_file_has_a_row_and_every_person_too(images_per_run, options, files, tmp_path):
    result = run_task(replace(options, images_per_run=images_per_run), Task(3, files))
    rows = rows_of(tmp_path, "files", 3)
    assert [(row["id"], row["width"], row["height"], row["frames"], row["persons"]) for row in rows] == [
        (10, 60, 40, 1, 1),
        (11, None, None, 0, 0),
        (12, 50, 30, 1, 0),
        (13, 64, 48, 4, 4),
        (14, None, None, 0, 0),
        (15, 30, 20, 1, 1),
    ]
    assert [row["error"] and row["error"].replace(str(tmp_path), "") for row in rows] == [
        None,
        "'/bad.jpg' is not an image in a supported format",
        None,
        None,
        rows[4]["error"].replace(str(tmp_path), ""),
        None,
    ]
    assert "No such file" in rows[4]["error"]
    assert all(row["ms"] > 0 for row in rows)
    poses = rows_of(tmp_path, "poses", 3)
    assert [(row["id"], row["frame"], row["person"]) for row in poses] == [
        (10, 0, 0),
        *((13, frame, 0) for frame in range(4)),
        (15, 0, 0),
    ]
    assert (result.num_items, result.num_frames, result.num_persons, result.num_failed) == (6, 7, 6, 2)
    assert len(result.examples) == 2


def predict(paths, target, model, stages=(), factor=1.0):
    estimator = Estimator.open(model)
    detector = estimator.with_threshold(factor * estimator.threshold)
    run(detector, open_source(paths), stages, [ParquetSink(target)])
    return pq.read_table(target).to_pylist()


def test_poses_equal_those_of_predict(options, files, tmp_path, tiny_model):
    run_task(options, Task(0, [file for file in files if file.id in (10, 13)]))
    expected = predict([file.uri for file in files if file.id in (10, 13)], tmp_path / "p.parquet", tiny_model)
    assert [{**row} for row in rows_of(tmp_path, "poses")] == [
        {"id": 10 if row["file"].endswith("png") else 13, **row} for row in expected
    ]


@pytest.mark.parametrize("smooth", [False, True])
def test_tracking_starts_anew_with_each_video_and_spares_images(smooth, options, tmp_path, tiny_model):
    films = [write_video(tmp_path / f"{name}.mp4", frames=5) for name in "ab"]
    dim = write_image(tmp_path / "dim.png", brightness=70)  # below the threshold of 0.4, above half of it
    items = [item(0, films[0]), item(1, dim), item(2, films[1])]
    run_task(replace(options, track=True, smooth=smooth), Task(0, items))
    expected = [
        row
        for film in films
        for row in predict(film, tmp_path / "p.parquet", tiny_model, [Tracker(0.4), *[Smoother()] * smooth], 0.5)
    ]
    rows = rows_of(tmp_path, "poses")
    assert [{name: row[name] for name in row if name != "id"} for row in rows] == expected
    assert {row["track_id"] for row in rows} == {1}


def test_tracked_person_is_kept_at_low_scores(options, tmp_path, tiny_model):
    film = tmp_path / "a.mp4"
    images = [np.full((48, 64, 3), value, np.uint8) for value in (255, 255, 70, 70, 255)]  # scores 1 and 0.27
    with open_sink(film, draw=lambda frame, _: frame.image) as sink:
        for index, image in enumerate(images):
            sink.write(video_frame(index, image), some_persons(0))
    run_task(replace(options, track=True), Task(0, [item(0, film)]))
    assert [(row["frame"], row["track_id"]) for row in rows_of(tmp_path, "poses")] == [(index, 1) for index in range(5)]


def test_smoothing_alone_assigns_no_ids(options, tmp_path):
    run_task(replace(options, smooth=True), Task(0, [item(0, write_video(tmp_path / "a.mp4", frames=5))]))
    assert [row["track_id"] for row in rows_of(tmp_path, "poses")] == [None] * 5


def test_segments_have_the_frame_numbers_and_times_of_the_video(options, tmp_path, tiny_model):
    film = write_video(tmp_path / "a.mp4", frames=300, rate=12)
    _, segments = cut_segments(film, 15)
    assert len(segments) == 2
    for number, part in enumerate(segments):
        run_task(options, Task(number, [item(0, film, part=part, segment=number)]))
    rows = [row for number in range(2) for row in rows_of(tmp_path, "poses", number)]
    expected = predict(film, tmp_path / "p.parquet", tiny_model)
    assert [{name: row[name] for name in row if name != "id"} for row in rows] == expected
    starts = [rows_of(tmp_path, "files", number)[0]["first_frame"] for number in range(2)]
    assert starts == [segment.first_frame for segment in segments]


def test_faulty_item_is_not_read(options, files, tmp_path):
    run_task(options, Task(0, files[:3], faulty={0: "its worker process ended: signal SIGSEGV"}))
    row = rows_of(tmp_path, "files")[0]
    assert (row["error"], row["frames"], row["width"]) == ("its worker process ended: signal SIGSEGV", 0, None)


def test_probe_writes_nothing(options, files, tmp_path):
    assert run_task(options, Task(0, files, probe=0)).num_items == 6
    assert not (tmp_path / "job").exists()


def test_unexpected_error_of_the_model_is_a_row(options, files, tmp_path, monkeypatch):
    original = Estimator.batch

    def batch(self, images):
        if any(image.shape[:2] == (40, 60) for image in images):
            raise RuntimeError("bad allocation")
        return original(self, images)

    monkeypatch.setattr(Estimator, "batch", batch)
    run_task(replace(options, images_per_run=4), Task(0, files))
    rows = rows_of(tmp_path, "files")
    assert rows[0]["error"] == "RuntimeError: bad allocation"
    assert [row["frames"] for row in rows] == [0, 0, 1, 4, 0, 1]


def test_changed_model_is_refused(options, files):
    with pytest.raises(ModelError, match="is not the one that the job started with"):
        run_task(replace(options, model_sha256="0"), Task(0, files))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_read_only_folder_is_an_error(options, files, tmp_path):
    (tmp_path / "job").mkdir(mode=0o500)
    with pytest.raises(OutputError, match="Permission denied"):
        run_task(options, Task(0, files))


def test_full_disk_is_an_error_and_leaves_no_file(options, files, tmp_path):
    import resource
    import signal

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    run_task(options, Task(1, files))
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
    try:
        with pytest.raises(OutputError, match=r"cannot write .*File too large") as caught:
            run_task(options, Task(0, files))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert "disk space" in caught.value.hint
    assert [path.name for path in (tmp_path / "job").rglob("*") if path.is_file()] == ["part-000001.parquet"] * 2


def test_image_with_several_pages_has_several_frames(options, tmp_path):
    import cv2

    path = tmp_path / "pages.tif"
    assert cv2.imwritemulti(str(path), [np.full((30, 40, 3), value, np.uint8) for value in (255, 0, 255)])
    run_task(options, Task(0, [item(0, path)]))
    assert [row["frame"] for row in rows_of(tmp_path, "poses")] == [0, 2]
    assert rows_of(tmp_path, "files")[0]["frames"] == 3
