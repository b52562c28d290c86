"""Code blocks of the documentation run, examples run, and all links and anchors resolve."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import NamedTuple

import av
import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "samples" / "README.md",
]
BLOCK = re.compile(
    r"(?P<exempt><!-- not run by the tests: [^>]+ -->\n)?```(?P<language>bash|python)\n(?P<code>.*?)```", re.S
)
FENCE = re.compile(r"^ *```.*?^ *```", re.S | re.M)
LINK = re.compile(r"\]\((?!https?://)([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.+)$", re.M)
VIDEO_S = 0.5  # length of the sample video in these tests

MODEL = "the tiny model"


class Block(NamedTuple):
    document: str
    number: int
    language: str
    code: str


def find_blocks() -> list[Block]:
    return [
        Block(document.name, number, match["language"], match["code"])
        for document in DOCUMENTS
        for number, match in enumerate(BLOCK.finditer(document.read_text(encoding="utf-8")), start=1)
        if not match["exempt"]
    ]


def shorten_video(source: Path, target: Path) -> None:
    """Copies the first half second of a video without decoding it."""
    with av.open(str(source)) as whole, av.open(str(target), "w") as part:
        streams = {stream.index: part.add_stream_from_template(stream) for stream in whole.streams}
        for packet in whole.demux():
            if packet.dts is not None and packet.dts * packet.time_base < VIDEO_S:
                packet.stream = streams[packet.stream.index]
                part.mux(packet)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the samples, whose video is shortened, and the examples."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("samples", "examples"):
        shutil.copytree(ROOT / name, folder / name)
    shorten_video(ROOT / "samples" / "sidestep.mp4", folder / "samples" / "sidestep.mp4")
    return folder


@pytest.fixture
def run_command(checkout: Path, tmp_path: Path):
    """Runs a command in a copy of the checkout and returns its standard output."""
    shutil.copytree(checkout, tmp_path, dirs_exist_ok=True)
    environment = {**os.environ, "PATH": os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]])}

    def run(*command: str | Path) -> str:
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_blocks_are_found() -> None:
    assert {"README.md", "predict.md", "python.md"} <= {block.document for block in find_blocks()}


def test_shortened_video_has_frames_and_is_short(checkout: Path) -> None:
    with av.open(str(checkout / "samples" / "sidestep.mp4")) as video:
        assert 5 <= sum(1 for _ in video.decode(video=0)) <= 20


@pytest.mark.parametrize("block", find_blocks(), ids=lambda block: f"{block.document}-{block.number}")
def test_block_runs(block: Block, run_command) -> None:
    interpreter = ["bash", "-ec"] if block.language == "bash" else [sys.executable, "-c"]
    run_command(*interpreter, block.code)


EXAMPLES = {
    "predict_image.py": (["samples/astronaut.jpg", MODEL], "nose at ("),
    "filter_poses.py": (["samples/*.jpg", "drawn/", MODEL], "in 4 frames"),
    "grid.py": (["grid.jpg", "samples/park.jpg", "samples/balance.jpg", "--model", MODEL], ""),
    "stick_people.py": (["made", "5"], "5 images in made"),
    "houses.py": (["made", "5"], "5 images in made"),
    "compare_runtimes.py": (["--help"], "model calibration annotations images"),
    "batch_rate.py": (["samples/astronaut.jpg", "24", "1000", MODEL], "ms\n1000 paths: "),
    "video_rate.py": (["samples/sidestep.mp4", MODEL], ", ratio "),
}


@pytest.mark.parametrize("example", EXAMPLES)
def test_example_runs(example: str, tiny_model: Path, run_command) -> None:
    arguments, expected = EXAMPLES[example]
    words = [str(tiny_model) if argument == MODEL else argument for argument in arguments]
    assert expected in run_command(sys.executable, ROOT / "examples" / example, *words)


def test_subset_has_the_first_images_and_their_annotations(run_command, tmp_path: Path) -> None:
    run_command(sys.executable, "examples/stick_people.py", "made", "5")
    run_command(sys.executable, "examples/subset.py", "made", "few", "2")
    assert sorted(path.name for path in (tmp_path / "few" / "images").iterdir()) == ["00001.png", "00002.png"]
    whole, subset = (json.loads((tmp_path / name / "annotations.json").read_text()) for name in ("made", "few"))
    assert subset["images"] == whole["images"][:2]
    assert subset["annotations"] == [entry for entry in whole["annotations"] if entry["image_id"] <= 2]


def test_table_of_network_sizes_is_what_the_example_prints(run_command) -> None:
    printed = run_command(sys.executable, "examples/model_sizes.py").splitlines()
    document = (ROOT / "docs" / "models" / "sizes.md").read_text(encoding="utf-8").splitlines()
    assert [line for line in printed if line.startswith("|")] == [line for line in document if line.startswith("|")]


def test_every_example_is_run() -> None:
    elsewhere = {
        "model_sizes.py",
        "subset.py",
        "ablations.py",
        "movenet_weights.py",
        "transplant.py",
        "ray_data.py",
    }  # or a journey
    assert {path.name for path in (ROOT / "examples").glob("*.py")} == set(EXAMPLES) | elsewhere


def find_anchors(document: Path) -> set[str]:
    """Returns the anchors that GitHub gives to the headings of a document."""
    anchors: list[str] = []
    for heading in HEADING.findall(FENCE.sub("", document.read_text(encoding="utf-8"))):
        text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
        slug = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        repeated = sum(
            anchor == slug or re.fullmatch(rf"{re.escape(slug)}-\d+", anchor) is not None for anchor in anchors
        )
        anchors.append(f"{slug}-{repeated}" if repeated else slug)
    return set(anchors)


def test_anchors_follow_the_rules_of_github(tmp_path: Path) -> None:
    document = tmp_path / "a.md"
    document.write_text(
        "# One `two`, three: 3.5\n## [Link](b.md)\n## Link\n```bash\n# comment\n```\n## `.json`: COCO\n"
    )
    assert find_anchors(document) == {"one-two-three-35", "link", "link-1", "json-coco"}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_and_anchors_resolve(document: Path) -> None:
    broken = []
    for link in LINK.findall(FENCE.sub("", document.read_text(encoding="utf-8"))):
        path, _, anchor = link.partition("#")
        target = document.parent / path if path else document
        if not target.exists() or (anchor and anchor not in find_anchors(target)):
            broken.append(link)
    assert not broken
