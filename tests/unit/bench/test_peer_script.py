from pathlib import Path

import pytest

from e2pose.bench.peer_script import peer_names, read_peer_script, select_peers
from e2pose.core.errors import OptionError
from helpers.peers import HEAD, write_peer

FULL = """#!/usr/bin/env python
# /// script
# requires-python = ">=3.11,<3.13"
# dependencies = ["numpy==2.4.4"]
#
# [tool.e2pose-bench]
# name = "Fake"
# licence = "AGPL-3.0"
# homepage = "https://example.org"
# steps = [["pip", "install", "--no-deps", "x==1"]]
#
# [[tool.e2pose-bench.files]]
# from = "npm"
# package = "@owner/models"
# version = "3.0.4"
# member = "package/a.bin"
# sha256 = "{digits}"
# name = "b.bin"
# ///
"""


def test_metadata_is_read(tmp_path: Path) -> None:
    script = read_peer_script(write_peer(tmp_path / "full.py", head=FULL.format(digits="ab" * 32), body="print()\n"))
    assert script.dependencies == ("numpy==2.4.4",)
    assert script.requires_python.contains("3.12.1")
    assert not script.requires_python.contains("3.13.0")
    assert script.needs.steps == (("pip", "install", "--no-deps", "x==1"),)
    assert script.needs.environment == "own"
    assert (script.needs.files[0].source, script.needs.files[0].name) == ("npm", "b.bin")
    assert script.path.is_absolute()


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ("", "has 0 blocks"),
        (HEAD + "import os\n" + HEAD, "has 2 blocks"),
        (HEAD.replace('licence = "MIT"', "licence = MIT"), "is invalid: "),
        (HEAD.replace('# licence = "MIT"\n', ""), "licence: Field required"),
        (HEAD.replace("licence", "license"), "is invalid"),
        (HEAD.replace(">=3.11", "3.11"), "Invalid specifier"),
        (HEAD.replace("[]", '["numpy"]'), "excludes dependencies"),
        (HEAD.replace("[]", "[1]"), "dependencies.0: "),
        (HEAD.replace("[]", "1"), "not iterable"),
        (HEAD.replace('"this"', '"other"'), "environment: "),
        (FULL.format(digits="AB"), "files.0.sha256: "),
        (FULL.format(digits="ab" * 32).replace('"b.bin"', '"../b.bin"'), "files.0.name: "),
        (FULL.format(digits="ab" * 32).replace('"@owner/models"', '"--upgrade"'), "files.0.package: "),
        (FULL.format(digits="ab" * 32).replace('"npm"', '"web"'), "files.0.from: "),
    ],
)
def test_invalid_metadata_is_rejected(tmp_path: Path, head: str, message: str) -> None:
    with pytest.raises(OptionError) as caught:
        read_peer_script(write_peer(tmp_path / "fake.py", head=head, body="print()\n"))
    assert message in caught.value.message
    assert "fake.py" in caught.value.message
    assert caught.value.hint


def test_missing_script_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="cannot read the peer script"):
        select_peers([], [], [str(tmp_path / "none.py")])


def test_models_and_scripts_are_selected_with_options(tmp_path: Path) -> None:
    script = str(write_peer(tmp_path / "my_peer.py"))
    default, openvino, other = select_peers(
        ["default", "a.onnx:runtime=openvino,precision=f32"], [], [f"{script}:mode=x=y"]
    )
    assert (default.label, default.options) == ("default", (("model", "default"),))
    assert openvino.options == (("model", "a.onnx"), ("runtime", "openvino"), ("precision", "f32"))
    assert default.script.path.stem == openvino.script.path.stem == "e2pose_model"
    assert (other.label, other.options) == (f"{script}:mode=x=y", (("mode", "x=y"),))


def test_colon_without_options_is_part_of_the_name(tmp_path: Path) -> None:
    script = str(write_peer(tmp_path / "mi:ne.py"))
    assert select_peers([], [], [script])[0].options == ()


@pytest.mark.parametrize(
    ("selected", "message"),
    [
        ((["default", "default"], [], []), "'default' is selected twice"),
        (([], [], []), "no model or peer is selected"),
        (([], ["movenets"], []), "unknown peer 'movenets'"),
        (([], ["e2pose_model"], []), "unknown peer 'e2pose_model'"),
        ((["default:a=1,b"], [], []), "'b' in 'default:a=1,b' is not a peer option"),
        ((["default:--a=1"], [], []), "is not a peer option"),
    ],
)
def test_invalid_selections_are_rejected(selected, message: str) -> None:
    with pytest.raises(OptionError) as caught:
        select_peers(*selected)
    assert message in caught.value.message
    assert caught.value.hint


def test_all_selects_every_bundled_peer() -> None:
    requests = select_peers([], ["all"], [])
    assert [request.script.path.stem for request in requests] == peer_names()
    assert "movenet" in peer_names()
    assert all("==" in dependency for request in requests for dependency in request.script.dependencies)
    assert "e2pose_model" not in peer_names() and "serve" not in peer_names()
