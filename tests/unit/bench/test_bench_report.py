import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from e2pose.bench.charts import write_latency_against_people, write_speed_against_ap
from e2pose.bench.images import CROWDS, Picture
from e2pose.bench.overlay import side_by_side, write_overlays
from e2pose.bench.protocol import FoundPose
from e2pose.bench.report import PeerResult, circumstances, notes, people_rows, rows, to_markdown
from e2pose.bench.runner import Failure
from e2pose.core.frame import Origin
from e2pose.core.poses import Poses
from helpers.comparisons import MACHINE, made_comparison, made_run
from helpers.evaluations import COCO
from helpers.synthetic import read_video

SCENES = {people: np.full((2, 3), 10.0 + people) for people in CROWDS}
EVERYBODY = tuple((10.0 + 2 * index, 20.0 + index, 1.0) for index in range(17))

WHOLE = """\
# Benchmark

| Peer | Licence | Runtime | Network fps | Fps | Ratio | p50 ms | p90 ms | 20/1 people | AP | Memory MB | Start s \
| Size MB |
| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
| First | MIT | none 0, f32 | 150 ± 50 | 75.0 ± 25.0 | 1.00 ± 0.00 | 15.0 | 20.0 | 2.73 ± 0.00 | 45.7 | 100 | 1.2 \
| 123 |
| A\\|B † ‡ | MIT | none 0, f32 | 100 ± 0 | 50.0 ± 0.0 | 0.75 ± 0.25 | 20.0 | 20.0 | 2.73 ± 0.00 | - | 100 | 1.2 | 123 |

| ms by people in the frame | 1 | 2 | 5 | 10 | 20 |
| --- | ---: | ---: | ---: | ---: | ---: |
| First | 11.0 | 12.0 | 15.0 | 20.0 | 30.0 |
| A\\|B † ‡ | 11.0 | 12.0 | 15.0 | 20.0 | 30.0 |

- † with random weights: only its speed means anything, taken from the first frames.
- ‡ finds one person in a frame.
- A\\|B: quick \\*and\\* dirty.
- Not compared: third: it ended before its hello: exit code 1, no luck

2 frames, AP over 2 of them, 2 rounds in turns of 20 frames, 3 frames of warm-up in each, 2 threads; ± is half \
of the range over rounds; ratios are to First.

Abacus 2, 2 cores, 8 GB, governor performance, load 0.5 before the start; Linux, Python 3.12.0; 2026-01-02.

Versions: e2pose 9.9, First 1, A\\|B 1.

```text
e2pose bench a.jpg
```
"""


def two_peers():
    other = made_run(
        "other",
        name="A|B",
        total_ms=((20.0, 20.0), (20.0, 20.0)),
        scenes_ms=SCENES,
        random_weights=True,
        people="one",
        note="quick *and* dirty",
    )
    return made_comparison(
        PeerResult(made_run("first", scenes_ms=SCENES), 0.4567),
        PeerResult(other),
        failures=(Failure("third", "it ended before its hello: exit code 1, no luck"),),
        annotated=2,
    )


def test_the_document_is_complete() -> None:
    assert to_markdown(two_peers()) == WHOLE


def test_columns_without_content_are_left_out() -> None:
    one = made_comparison(PeerResult(made_run("first")))
    assert "AP" not in rows(one)[0] and "20/1 people" not in rows(one)[0]
    assert people_rows(one) == []
    assert "AP over" not in circumstances(one)[0]


def test_machines_that_say_little() -> None:
    silent = replace(MACHINE, memory_gb=None, governor=None, load=None)
    _, machine, _ = circumstances(made_comparison(PeerResult(made_run("first")), machine=silent))
    assert machine == "Abacus 2, 2 cores; Linux, Python 3.12.0; 2026-01-02."


def test_without_the_reference_there_are_no_ratios() -> None:
    one = made_comparison(PeerResult(made_run("first")), reference="other")
    assert rows(one)[1][5] == "-"
    assert notes(one)[-1] == "No ratios: the reference, other, was not compared."
    assert one.to_record()["peers"][0]["ratio"] is None


def test_what_a_reader_must_know() -> None:
    odd = made_run("odd", threads=8, unexplained_ms=50.0, note="  ")
    result = PeerResult(odd, 0.1, ("left_ear", "nose"))
    assert result.notes == [
        "it says that it uses 8 threads",
        "it does not find left_ear, nose, which count as missed in AP",
        "its answers take 50 ms longer than it accounts for",
    ]
    assert PeerResult(odd, None, ("nose",)).notes == [result.notes[0], result.notes[2]]
    assert PeerResult(made_run("plain")).notes == []


def test_the_same_name_twice_is_told_apart() -> None:
    one = made_comparison(
        PeerResult(made_run("a:x=1", name="A")), PeerResult(made_run("a:x=2", name="A")), PeerResult(made_run("b"))
    )
    assert one.names == ["A (a:x=1)", "A (a:x=2)", "B"]


def test_nobody_annotated_is_a_dash() -> None:
    one = made_comparison(PeerResult(made_run("first"), -1.0), annotated=1)
    assert rows(one)[1][rows(one)[0].index("AP")] == "-"


def test_the_record_holds_every_round() -> None:
    record = json.loads(json.dumps(two_peers().to_record(), allow_nan=False))
    first, other = record["peers"]
    assert first["fps"] == {"median": 75, "spread": 25, "rounds": [100, 50]}
    assert other["ratio"]["rounds"] == [0.5, 1]
    assert other["network_ratio"]["rounds"] == [0.5, 1]
    assert (first["ap"], other["ap"]) == (0.4567, None)
    assert first["people_ms"]["20"]["median"] == 30
    assert record["failures"][0]["label"] == "third"
    assert record["machine"]["cpu"] == "Abacus 2"
    assert (record["rounds"], record["threads"], record["command"]) == (2, 2, "e2pose bench a.jpg")
    assert first["weights"] == []


def test_charts_are_drawn_where_there_is_something_to_show(tmp_path: Path) -> None:
    assert write_speed_against_ap(tmp_path / "speed.png", two_peers())
    assert write_latency_against_people(tmp_path / "people.png", two_peers())
    for name in ("speed.png", "people.png"):
        picture = cv2.imread(str(tmp_path / name))
        assert picture.shape[0] > 300 and np.ptp(picture) > 200
    nothing = made_comparison(PeerResult(made_run("first")))
    assert not write_speed_against_ap(tmp_path / "none.png", nothing)
    assert not write_latency_against_people(tmp_path / "none.png", nothing)
    assert not (tmp_path / "none.png").exists()


def test_a_chart_changes_with_its_numbers(tmp_path: Path) -> None:
    for name, ap in (("low", 0.2), ("high", 0.6)):
        pair = PeerResult(made_run("first"), ap), PeerResult(made_run("other"), 0.7)
        write_speed_against_ap(tmp_path / f"{name}.png", made_comparison(*pair, annotated=2))
    assert (tmp_path / "low.png").read_bytes() != (tmp_path / "high.png").read_bytes()


def everybody(score: float) -> Poses:
    keypoints = np.array(EVERYBODY, np.float32)[None, :, :2]
    return Poses(keypoints, np.ones((1, 17), np.float32), np.array([score], np.float32), COCO)


def test_poses_are_drawn_side_by_side() -> None:
    image = np.full((100, 80, 3), 128, np.uint8)
    sheet = side_by_side(image, [("ours", everybody(0.9)), ("none", Poses.empty(COCO)), ("unsure", everybody(0.1))])
    assert sheet.shape == (204, 164, 3)
    below = slice(14, 100)  # the names are above
    ours, nobody, unsure = sheet[below, :80], sheet[below, 84:], sheet[104:][below, :80]
    assert (ours != 128).any()
    assert (nobody[10:] == 128).all()
    assert (unsure[10:] == 128).all()
    assert (sheet[:12, :20] != 128).any()
    assert (image == 128).all()


def test_large_pictures_are_scaled_with_their_poses() -> None:
    image = np.full((1000, 1280, 3), 128, np.uint8)
    poses = Poses(everybody(1).keypoints * 20, everybody(1).keypoint_scores, everybody(1).scores, COCO)
    sheet = side_by_side(image, [("ours", poses)])
    assert sheet.shape == (500, 640, 3)
    rows_drawn = np.flatnonzero((sheet[60:] != 128).any(axis=(1, 2))) + 60
    assert 190 < rows_drawn[0] < 203 and 357 < rows_drawn[-1] < 372


def test_overlays_of_pictures_and_of_a_video(tmp_path: Path) -> None:
    from fractions import Fraction

    np.save(tmp_path / "grey.npy", np.full((64, 64, 3), 128, np.uint8))
    film = Origin("film.mp4", rate=Fraction(10))
    pictures = [
        Picture(0, tmp_path / "grey.npy", Origin("a.png", path=Path("a.png"))),
        *(Picture(1 + index, tmp_path / "grey.npy", film, index, index / 10) for index in range(3)),
    ]
    answer = (FoundPose(score=0.9, keypoints=EVERYBODY),)
    run = made_run("ours", poses={picture.index: answer for picture in pictures}, keypoints=COCO.keypoints)
    written = write_overlays(tmp_path / "out", made_comparison(PeerResult(run), PeerResult(run)), pictures, COCO)
    assert [path.name for path in written] == ["a.png", "film.mp4"]
    drawn = cv2.imread(str(written[0]))
    assert drawn.shape == (64, 132, 3)
    assert (drawn[:, :64] == drawn[:, 68:]).all()
    assert np.ptp(drawn[20:]) > 50
    assert len(read_video(written[1])) == 3
