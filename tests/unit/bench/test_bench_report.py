import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from e2pose.bench import charts
from e2pose.bench.charts import write_ap_against_speed, write_latency_against_persons
from e2pose.bench.images import SCENE_PERSONS, BenchImage
from e2pose.bench.overlay import draw_side_by_side, write_overlays
from e2pose.bench.protocol import PeerPose
from e2pose.bench.report import conditions, main_table, notes, scene_table, to_markdown
from e2pose.core.frame import Origin
from e2pose.core.poses import Poses
from helpers.comparisons import MACHINE, fake_comparison, fake_result
from helpers.evaluations import COCO
from helpers.synthetic import read_video

SCENES = {number: np.full((2, 3), 10.0 + number) for number in SCENE_PERSONS}
KEYPOINTS = tuple((10.0 + 2 * index, 20.0 + index, 1.0) for index in range(17))

DOCUMENT = """\
# Benchmark

| Peer | Licence | Runtime | Network fps | Total fps | Speed ratio | p50 ms | p90 ms | 20/1 persons | AP \
| Memory MB | Startup s | Installed MB |
| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
| First | MIT | none 0, f32 | 150 ± 50 | 75.0 ± 25.0 | 1.00 ± 0.00 | 15.0 | 20.0 | 2.73 ± 0.00 | 45.7 | 100 | 1.2 \
| 123 |
| A\\|B † ‡ | MIT | none 0, f32 | 100 ± 0 | 50.0 ± 0.0 | 0.75 ± 0.25 | 20.0 | 20.0 | 2.73 ± 0.00 | - | 100 | 1.2 | 123 |

| Latency in ms by number of persons | 1 | 2 | 5 | 10 | 20 |
| --- | ---: | ---: | ---: | ---: | ---: |
| First | 11.0 | 12.0 | 15.0 | 20.0 | 30.0 |
| A\\|B † ‡ | 11.0 | 12.0 | 15.0 | 20.0 | 30.0 |

- † random weights: only the speed is meaningful, measured on the first frames.
- ‡ detects at most one person per frame.
- A\\|B: quick \\*and\\* dirty.
- Failed: third: the process ended before the handshake: exit code 1, no luck

2 frames, AP on 2 of them, 2 rounds in turns of 20 frames after 3 warm-up frames, 2 threads; ± is half \
the range over rounds; speed ratios are relative to First.

Abacus 2, 2 cores, 8 GB, governor performance, load 0.5 before the start; Linux, Python 3.12.0; 2026-01-02.

Versions: e2pose 9.9, First 1, A\\|B 1.

```text
e2pose bench a.jpg
```
"""


def two_peers():
    other = fake_result(
        "other",
        name="A|B",
        total_ms=((20.0, 20.0), (20.0, 20.0)),
        scenes_ms=SCENES,
        random_weights=True,
        multi_person=False,
        note="quick *and* dirty",
    )
    return fake_comparison(
        fake_result("first", ap=0.4567, scenes_ms=SCENES),
        other,
        failures={"third": "the process ended before the handshake: exit code 1, no luck"},
        num_annotated=2,
    )


def test_markdown_document() -> None:
    assert to_markdown(two_peers()) == DOCUMENT


def test_columns_without_content_are_omitted() -> None:
    one = fake_comparison(fake_result("first"))
    assert "AP" not in main_table(one)[0] and "20/1 persons" not in main_table(one)[0]
    assert scene_table(one) == []
    assert "AP on" not in conditions(one)[0]


def test_unknown_machine_properties_are_omitted() -> None:
    unknown = replace(MACHINE, memory_gb=None, governor=None, load=None)
    _, machine, _ = conditions(fake_comparison(fake_result("first"), machine=unknown))
    assert machine == "Abacus 2, 2 cores; Linux, Python 3.12.0; 2026-01-02."


def test_failed_reference_removes_speed_ratios() -> None:
    one = fake_comparison(fake_result("first"), reference="other")
    assert main_table(one)[1][5] == "-"
    assert notes(one)[-1] == "No speed ratios: the reference other failed."
    assert one.to_record()["peers"][0]["speed_ratio"] is None


def test_notes_report_threads_missing_keypoints_and_overhead() -> None:
    odd = fake_result("odd", ap=0.1, missing_keypoints=("left_ear", "nose"), threads=8, overhead_ms=50.0, note="  ")
    threads, keypoints = "uses 8 threads", "has no left_ear, nose; these keypoints count as missed in AP"
    overhead = "responses take 50 ms longer than the reported times"
    assert notes(fake_comparison(odd)) == [f"Odd: {threads}; {keypoints}; {overhead}."]
    assert notes(fake_comparison(replace(odd, ap=None))) == [f"Odd: {threads}; {overhead}."]
    assert notes(fake_comparison(fake_result("plain"))) == []


@pytest.mark.parametrize(("overhead_ms", "is_reported"), [(20.0, False), (21.0, True)])
def test_overhead_is_reported_above_twenty_milliseconds(overhead_ms, is_reported) -> None:
    fast = fake_result("fast", total_ms=((10.0, 10.0), (10.0, 10.0)), overhead_ms=overhead_ms)
    assert bool(notes(fake_comparison(fast))) == is_reported


@pytest.mark.parametrize(("overhead_ms", "is_reported"), [(40.0, False), (41.0, True)])
def test_overhead_is_reported_above_the_median_latency(overhead_ms, is_reported) -> None:
    slow = fake_result("slow", total_ms=((40.0, 40.0), (40.0, 40.0)), overhead_ms=overhead_ms)
    assert bool(notes(fake_comparison(slow))) == is_reported


def test_equal_names_are_followed_by_their_labels() -> None:
    one = fake_comparison(fake_result("a:x=1", name="A"), fake_result("a:x=2", name="A"), fake_result("b"))
    assert [name for name, _ in one.named_results] == ["A (a:x=1)", "A (a:x=2)", "B"]


def test_ap_without_persons_is_a_dash() -> None:
    one = fake_comparison(fake_result("first", ap=-1.0), num_annotated=1)
    assert main_table(one)[1][main_table(one)[0].index("AP")] == "-"


def test_record_contains_every_round() -> None:
    record = json.loads(json.dumps(two_peers().to_record(), allow_nan=False))
    first, other = record["peers"]
    assert first["fps"] == {"median": 75, "half_range": 25, "rounds": [100, 50]}
    assert other["speed_ratio"]["rounds"] == [0.5, 1]
    assert (first["ap"], other["ap"]) == (0.4567, None)
    assert first["scene_latency_ms"]["20"]["median"] == 30
    reason = "the process ended before the handshake: exit code 1, no luck"
    assert record["failures"] == [{"label": "third", "reason": reason}]
    assert record["machine"]["cpu"] == "Abacus 2"
    assert (record["rounds"], record["threads"], record["command"]) == (2, 2, "e2pose bench a.jpg")
    assert first["weights"] == []


@pytest.fixture
def axes_of(monkeypatch):
    """Returns a function that draws a chart and returns its axes, or None if there is no chart."""

    def draw(write, comparison):
        figures = []
        monkeypatch.setattr(charts, "save_figure", lambda figure, path: figures.append(figure))
        assert write(Path("chart.png"), comparison) == bool(figures)
        return figures[0].axes[0] if figures else None

    return draw


def test_speed_chart_shows_fps_and_ap(axes_of) -> None:
    pair = fake_result("first", ap=0.2), fake_result("other", ap=0.7, total_ms=[[5.0], [5.0]])
    axes = axes_of(write_ap_against_speed, fake_comparison(*pair))
    points = [line.get_xydata()[0] for line in axes.get_lines() if line.get_marker() == "o"]
    assert np.array(points) == pytest.approx(np.array([[75, 20], [200, 70]]))
    assert {text.get_text() for text in axes.texts} == {"First", "Other"}


def test_latency_chart_shows_median_by_number_of_persons(axes_of) -> None:
    axes = axes_of(write_latency_against_persons, two_peers())
    assert [line.get_label() for line in axes.get_lines()] == ["First", "A|B † ‡"]
    expected = [[number, 10 + number] for number in SCENE_PERSONS]
    assert [line.get_xydata().tolist() for line in axes.get_lines()] == [expected, expected]


def test_charts_without_content_are_not_written(axes_of) -> None:
    nothing = fake_comparison(fake_result("first"))
    assert axes_of(write_ap_against_speed, nothing) is None
    assert axes_of(write_latency_against_persons, nothing) is None


def test_charts_are_png_files(tmp_path: Path) -> None:
    assert write_ap_against_speed(tmp_path / "speed.png", two_peers())
    assert write_latency_against_persons(tmp_path / "persons.png", two_peers())
    for name in ("speed.png", "persons.png"):
        image = cv2.imread(str(tmp_path / name))
        assert image.shape[0] > 300 and np.ptp(image) > 200


def pose_of(score: float) -> Poses:
    keypoints = np.array(KEYPOINTS, np.float32)[None, :, :2]
    return Poses(keypoints, np.ones((1, 17), np.float32), np.array([score], np.float32), COCO)


def test_poses_are_drawn_side_by_side_above_the_threshold() -> None:
    image = np.full((100, 80, 3), 128, np.uint8)
    sheet = draw_side_by_side(
        image, [("model", pose_of(0.9)), ("none", Poses.empty(COCO)), ("low score", pose_of(0.1))]
    )
    assert sheet.shape == (204, 164, 3)
    below = slice(14, 100)  # the names are at the top
    drawn, none, low_score = sheet[below, :80], sheet[below, 84:], sheet[104:][below, :80]
    assert (drawn != 128).any()
    assert (none[10:] == 128).all()
    assert (low_score[10:] == 128).all()
    assert (sheet[:12, :20] != 128).any()
    assert (image == 128).all()


def test_large_images_are_scaled_with_their_poses() -> None:
    image = np.full((1000, 1280, 3), 128, np.uint8)
    poses = Poses(pose_of(1).keypoints * 20, pose_of(1).keypoint_scores, pose_of(1).scores, COCO)
    sheet = draw_side_by_side(image, [("model", poses)])
    assert sheet.shape == (500, 640, 3)
    rows_drawn = np.flatnonzero((sheet[60:] != 128).any(axis=(1, 2))) + 60
    assert 190 < rows_drawn[0] < 203 and 357 < rows_drawn[-1] < 372


def test_overlays_are_images_and_videos(tmp_path: Path) -> None:
    np.save(tmp_path / "grey.npy", np.full((64, 64, 3), 128, np.uint8))
    video = Origin("video.mp4", rate=Fraction(10))
    images = [
        BenchImage(0, tmp_path / "grey.npy", Origin("a.png", path=Path("a.png"))),
        *(BenchImage(1 + index, tmp_path / "grey.npy", video, index, index / 10) for index in range(3)),
    ]
    poses = (PeerPose(score=0.9, keypoints=KEYPOINTS),)
    result = fake_result("model", poses={image.index: poses for image in images}, keypoints=COCO.keypoints)
    written = write_overlays(tmp_path / "out", fake_comparison(result, result), images, COCO)
    assert [path.name for path in written] == ["a.png", "video.mp4"]
    drawn = cv2.imread(str(written[0]))
    assert drawn.shape == (64, 132, 3)
    assert (drawn[:, :64] == drawn[:, 68:]).all()
    assert np.ptp(drawn[20:]) > 50
    assert len(read_video(written[1])) == 3
