import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), ROOT / "samples" / "README.md"]
BLOCK = re.compile(
    r"(?P<exempt><!-- not run by the tests: [^>]+ -->\n)?```(?P<language>bash|python)\n(?P<code>.*?)```", re.S
)

MODEL = "the tiny model"


class Block(NamedTuple):
    document: str
    number: int
    language: str
    code: str


def blocks() -> list[Block]:
    return [
        Block(document.name, number, match["language"], match["code"])
        for document in DOCUMENTS
        for number, match in enumerate(BLOCK.finditer(document.read_text(encoding="utf-8")), start=1)
        if not match["exempt"]
    ]


def run_here(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Runs a command in a folder with the samples and examples in it."""
    for name in ("samples", "examples"):
        shutil.copytree(ROOT / name, folder / name)
    environment = {**os.environ, "PATH": os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]])}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_blocks_are_found() -> None:
    assert {"README.md", "predict.md", "python.md"} <= {block.document for block in blocks()}


@pytest.mark.parametrize("block", blocks(), ids=lambda block: f"{block.document}-{block.number}")
def test_blocks_run(block: Block, tmp_path: Path) -> None:
    interpreter = ["bash", "-ec"] if block.language == "bash" else [sys.executable, "-c"]
    done = run_here(tmp_path, *interpreter, block.code)
    assert done.returncode == 0, done.stderr


EXAMPLES = {
    "one_picture.py": (["samples/astronaut.jpg", MODEL], "nose at ("),
    "only_the_sure.py": (["samples/*.jpg", "drawn/", MODEL], "in 4 frames"),
    "grid.py": (["grid.jpg", "samples/park.jpg", "samples/balance.jpg", "--model", MODEL], ""),
    "stick_people.py": (["made", "5"], "5 pictures in made"),
    "houses.py": (["made", "5"], "5 pictures in made"),
    "runtimes.py": (["--help"], "model pictures annotations images"),
    "model_sizes.py": ([], "| resnet152 | 448 x 448 |"),
    "video_rate.py": (["samples/sidestep.mp4", MODEL], ", ratio "),
}


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_run(example: str, tiny_model: Path, tmp_path: Path) -> None:
    arguments, says = EXAMPLES[example]
    words = [str(tiny_model) if argument == MODEL else argument for argument in arguments]
    done = run_here(tmp_path, sys.executable, str(ROOT / "examples" / example), *words)
    assert done.returncode == 0, done.stderr
    assert says in done.stdout


def test_the_first_images_of_a_set_become_one(tmp_path: Path) -> None:
    for words in (["stick_people.py", "made", "5"], ["subset.py", "made", "few", "2"]):
        example = ROOT / "examples" / words[0]
        subprocess.run([sys.executable, str(example), *words[1:]], cwd=tmp_path, check=True)
    assert sorted(path.name for path in (tmp_path / "few" / "images").iterdir()) == ["00001.png", "00002.png"]
    made, few = (json.loads((tmp_path / name / "annotations.json").read_text()) for name in ("made", "few"))
    assert few["images"] == made["images"][:2]
    assert few["annotations"] == [entry for entry in made["annotations"] if entry["image_id"] <= 2]


def test_every_example_is_run() -> None:
    elsewhere = {"ablations.py", "subset.py", "movenet_weights.py", "transplant.py"}  # tests/journeys, and above
    assert {path.name for path in (ROOT / "examples").glob("*.py")} == set(EXAMPLES) | elsewhere


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\((?!https?://)([^)#]+)\)", document.read_text(encoding="utf-8"))
    missing = [link for link in links if not (document.parent / link).exists()]
    assert not missing
