import csv

import cv2
import pytest

from e2pose.core.errors import OutputError
from e2pose.training.log import RunLog, read_lines


def write(folder, step, records):
    log = RunLog(folder, step)
    for record in records:
        log.write(record)
    log.summarise()
    log.close()


def test_log_is_written_as_table_curves_and_events(tmp_path):
    write(tmp_path, 0, [{"step": 10, "total": 3.0}, {"step": 20, "total": 2.0}, {"step": 20, "ap": 0.5}])
    with (tmp_path / "log.csv").open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [["step", "total", "ap"], ["10", "3.0", ""], ["20", "2.0", "0.5"]]
    assert cv2.imread(str(tmp_path / "curves.png")).std() > 0
    events = [path.read_bytes() for path in (tmp_path / "tensorboard").iterdir()]
    assert len(events) == 1
    assert events[0].count(b"total") == 2


def test_resumed_log_drops_later_and_incomplete_records(tmp_path):
    write(tmp_path, 0, [{"step": step, "total": 1.0 * step} for step in (1, 2, 3, 4)])
    with (tmp_path / "log.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"step": 5, "to')  # the machine lost power
    write(tmp_path, 2, [{"step": 3, "total": -3.0}])
    assert [(line["step"], line["total"]) for line in read_lines(tmp_path / "log.jsonl")] == [(1, 1), (2, 2), (3, -3)]


def test_file_that_is_no_log_is_rejected_and_kept(tmp_path):
    (tmp_path / "log.jsonl").write_text("some notes\n", encoding="utf-8")
    with pytest.raises(OutputError, match=r"log\.jsonl") as failure:
        RunLog(tmp_path, 0)
    assert "another folder" in failure.value.hint
    assert (tmp_path / "log.jsonl").read_text(encoding="utf-8").startswith("some notes")


def test_empty_log_has_no_curves(tmp_path):
    write(tmp_path, 0, [])
    assert not (tmp_path / "curves.png").exists()
    assert read_lines(tmp_path / "log.jsonl") == []
