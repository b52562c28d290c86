import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from e2pose.core.schema import load_schema
from helpers.peers import write_peer
from helpers.synthetic import TINY_KEYPOINTS, write_image


@pytest.fixture
def annotated(tmp_path: Path) -> Path:
    """Two bright images, in which the tiny model detects the person exactly and inexactly, and a dark one."""
    images = {"a": (255, 0.0), "b": (250, 3.0), "c": (0, 0.0)}
    annotations = []
    for number, (name, (brightness, shift)) in enumerate(images.items(), start=1):
        write_image(tmp_path / "images" / f"{name}.png", (100, 200), brightness)
        points = TINY_KEYPOINTS * [200, 100] + shift
        annotations.append(
            {
                "id": number,
                "image_id": number,
                "bbox": [50, 20, 100, 60],
                "area": 3000,
                "keypoints": np.concatenate([points, np.full((17, 1), 2)], axis=1).ravel().tolist(),
            }
        )
    record = {
        "images": [
            {"id": number, "file_name": f"{name}.png", "width": 200, "height": 100}
            for number, name in enumerate(images, start=1)
        ],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "person", "keypoints": list(load_schema("coco").keypoints), "skeleton": []}],
    }
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(record))
    return path


def test_comparison_of_a_model_and_peers_writes_all_outputs(
    e2pose, tiny_model: Path, annotated: Path, tmp_path: Path
) -> None:
    script = write_peer(tmp_path / "my_peer.py")
    models = "--models", tiny_model, f"{tiny_model}:input-size=64x64", f"{tiny_model}:input-size=64"
    peers = "--peer", f"{script}:mode=crash,after=2", f"{script}:name=Mine"
    done = e2pose(
        "bench", "images", *models, *peers, "--annotations", annotated,
        "--rounds", "2", "--warm-up", "1", "--threads", "1", "--scenes", "--overlay", "-o", "out", "--quiet",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert done.err == ""
    record = json.loads((tmp_path / "out" / "bench.json").read_text())
    model, smaller, other = record["peers"]
    assert smaller["options"] == {"model": str(tiny_model), "input-size": "64x64"}
    assert (model["name"], model["threads"], model["precision"]) == ("e2pose tiny", 1, "f32")
    assert model["runtime"].startswith("onnxruntime ")
    assert [one["file"] for one in model["weights"]] == ["tiny.onnx"]
    assert model["speed_ratio"] == {"median": 1, "half_range": 0, "rounds": [1, 1]}
    assert len(model["fps"]["rounds"]) == 2
    assert list(model["scene_latency_ms"]) == ["1", "2", "5", "10", "20"]
    assert other["name"] == "Mine"
    assert len(other["missing_keypoints"]) == 15
    reasons = [failure["reason"] for failure in record["failures"]]
    assert reasons[0] == "ValueError: input-size must be HEIGHTxWIDTH, such as 224x320, not '64'"
    assert "ValueError: too many persons" in reasons[1]
    assert re.search(r"^- Failed: .*ValueError: too many persons", (tmp_path / "out" / "bench.md").read_text(), re.M)
    assert "e2pose tiny" in done.out and "Failed: " in done.out

    evaluated = e2pose("evaluate", tiny_model, annotated, "images", "--json", "numbers.json", "--quiet")
    assert evaluated.code == 0
    expected = json.loads((tmp_path / "numbers.json").read_text())["ap"]
    assert 0.3 < expected < 0.66
    assert model["ap"] == expected

    names = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*")}
    charts = {"speed-against-ap.png", "latency-against-persons.png"}
    assert names == {"bench.md", "bench.json", *charts, *(f"overlay/{name}.png" for name in "abc")}
    assert cv2.imread(str(tmp_path / "out" / "overlay" / "a.png")).shape == (204, 404, 3), (
        "three panes, without the peer that failed"
    )


def test_command_below_the_table_repeats_the_comparison(e2pose, tmp_path: Path) -> None:
    write_image(tmp_path / "a b.png")
    write_peer(tmp_path / "my_peer.py")
    peers = "--peer", "my_peer.py", "my_peer.py:network-ms=0.02"
    words = "bench", "a b.png", "--rounds", "1", *peers, "--warm-up", "0"
    done = e2pose(*words, "--models", "mobilenetv2-320:precision=f64", "--reference", "my_peer.py")
    assert done.code == 0, done.err
    assert done.out.splitlines()[-1] == (
        "e2pose bench 'a b.png' --models mobilenetv2-320:precision=f64 --peer my_peer.py my_peer.py:network-ms=0.02 "
        "--rounds 1 --warm-up 0 --reference my_peer.py"
    )
    assert "Failed: mobilenetv2-320:precision=f64: " in done.out
    assert not list(tmp_path.glob("*.json")), "without --output nothing is written"


def test_peer_script_of_the_guide_runs(e2pose, tmp_path: Path, pytestconfig: pytest.Config) -> None:
    guide = (pytestconfig.rootpath / "docs" / "guides" / "bench.md").read_text(encoding="utf-8")
    script = re.search(r"```python\n(.*?)```", guide, re.S)[1]
    for old, new in (
        ('["numpy==2.4.6"]', "[]"),
        ('# licence = "MIT"\n', '# licence = "MIT"\n# environment = "this"\n'),
    ):
        assert old in script
        script = script.replace(old, new)
    (tmp_path / "my_peer.py").write_text(script)
    write_image(tmp_path / "a.png")
    done = e2pose(
        "bench", "a.png", "--models", "none.onnx", "--peer", "my_peer.py", "my_peer.py:scale=0.5", "my_peer.py:scale=3",
        "--rounds", "1", "-o", "out", "-q",
    )  # fmt: skip
    assert done.code == 0, done.err
    record = json.loads((tmp_path / "out" / "bench.json").read_text())
    assert [peer["label"] for peer in record["peers"]] == ["my_peer.py", "my_peer.py:scale=0.5"]
    assert [failure["label"] for failure in record["failures"]] == ["none.onnx", "my_peer.py:scale=3"]
    assert "invalid choice" in record["failures"][1]["reason"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["z.png", "--peers", "movenets"], "unknown peer 'movenets'"),
        (["z.png", "--peer", "none.py"], "cannot read the peer script 'none.py'"),
        (["z.png", "--overlay"], "--overlay requires an output folder"),
        (["z.png", "--reference", "movenet"], "the reference 'movenet' is not among the compared peers: default"),
        (["z.png", "--rounds", "0"], "--rounds must be at least 1, not 0"),
        (["z.png", "-o", "z.png"], "'z.png' is a file"),
        (["none.png"], "there is no file 'none.png'"),
        (["z.png", "--annotations", "annotations.json"], "none of the 3 annotated images"),
        (["z.png", "--annotations", "z.png"], "cannot read the annotations 'z.png'"),
        (
            ["z.png", "--models", "none.onnx"],
            "all peers failed: none.onnx: ModelError: the model file 'none.onnx' does not exist",
        ),
    ],
)
def test_invalid_input_is_one_error(e2pose, annotated: Path, tmp_path: Path, words: list[str], message: str) -> None:
    write_image(tmp_path / "z.png")
    done = e2pose("bench", *words)
    assert done.code in (1, 2)
    assert message in done.errors[0]
    assert (len(done.errors), len(done.hints)) == (1, 1)
    assert done.out == ""
