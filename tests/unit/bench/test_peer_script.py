from pathlib import Path

import pytest

from e2pose.bench.peer_script import peer_names, read_peer_script, requested_peers
from e2pose.core.errors import OptionError
from helpers.peers import HEAD, write_peer

FULL = """#!/usr/bin/env python
# /// script
# requires-python = ">=3.11,<3.13"
# dependencies = ["numpy==2.4.4"]
#
# [tool.e2pose-bench]
# name = "Made"
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


def test_a_head_is_read(tmp_path: Path) -> None:
    script = read_peer_script(write_peer(tmp_path / "full.py", head=FULL.format(digits="ab" * 32), body="print()\n"))
    assert script.dependencies == ("numpy==2.4.4",)
    assert script.requires_python.contains("3.12.1")
    assert not script.requires_python.contains("3.13.0")
    assert script.needs.steps == (("pip", "install", "--no-deps", "x==1"),)
    assert script.needs.environment == "own"
    assert (script.needs.files[0].source, script.needs.files[0].name) == ("npm", "b.bin")
    assert script.path.is_absolute()


@pytest.mark.parametrize(
    ("head", "says"),
    [
        ("", "has 0 blocks"),
        (HEAD + "import os\n" + HEAD, "has 2 blocks"),
        (HEAD.replace('licence = "MIT"', "licence = MIT"), "is wrong: "),
        (HEAD.replace('# licence = "MIT"\n', ""), "licence: Field required"),
        (HEAD.replace("licence", "license"), "is wrong"),
        (HEAD.replace(">=3.11", "3.11"), "Invalid specifier"),
        (HEAD.replace("[]", '["numpy"]'), "there can be no dependencies"),
        (HEAD.replace("[]", "[1]"), "dependencies.0: "),
        (HEAD.replace("[]", "1"), "not iterable"),
        (HEAD.replace('"this"', '"other"'), "environment: "),
        (FULL.format(digits="AB"), "files.0.sha256: "),
        (FULL.format(digits="ab" * 32).replace('"b.bin"', '"../b.bin"'), "files.0.name: "),
        (FULL.format(digits="ab" * 32).replace('"@owner/models"', '"--upgrade"'), "files.0.package: "),
        (FULL.format(digits="ab" * 32).replace('"npm"', '"web"'), "files.0.from: "),
    ],
)
def test_wrong_heads(tmp_path: Path, head: str, says: str) -> None:
    with pytest.raises(OptionError) as caught:
        read_peer_script(write_peer(tmp_path / "made.py", head=head, body="print()\n"))
    assert says in caught.value.message
    assert "made.py" in caught.value.message
    assert caught.value.hint


def test_there_is_no_such_script(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="cannot read the peer"):
        requested_peers([], [], [str(tmp_path / "none.py")])


def test_everybody_who_was_asked_for_with_options(tmp_path: Path) -> None:
    mine = str(write_peer(tmp_path / "mine.py"))
    ours, fast, other = requested_peers(["default", "a.onnx:runtime=openvino,precision=f32"], [], [f"{mine}:mode=x=y"])
    assert (ours.label, ours.options) == ("default", (("model", "default"),))
    assert fast.options == (("model", "a.onnx"), ("runtime", "openvino"), ("precision", "f32"))
    assert ours.script.path.stem == fast.script.path.stem == "ours"
    assert (other.label, other.options) == (f"{mine}:mode=x=y", (("mode", "x=y"),))


def test_a_colon_may_belong_to_a_name(tmp_path: Path) -> None:
    mine = str(write_peer(tmp_path / "mi:ne.py"))
    assert requested_peers([], [], [mine])[0].options == ()


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ((["default", "default"], [], []), "'default' is to be compared with itself"),
        (([], [], []), "nothing to compare"),
        (([], ["movenets"], []), "there is no peer 'movenets'"),
        (([], ["ours"], []), "there is no peer 'ours'"),
        ((["default:a=1,b"], [], []), "'b' in 'default:a=1,b' is no option"),
        ((["default:--a=1"], [], []), "is no option"),
    ],
)
def test_requests_that_make_no_sense(asked, says: str) -> None:
    with pytest.raises(OptionError) as caught:
        requested_peers(*asked)
    assert says in caught.value.message
    assert caught.value.hint


def test_all_peers_that_come_with_e2pose_can_be_asked_for() -> None:
    requests = requested_peers([], ["all"], [])
    assert [request.script.path.stem for request in requests] == peer_names()
    assert "movenet" in peer_names()
    assert all("==" in dependency for request in requests for dependency in request.script.dependencies)
    assert "ours" not in peer_names() and "serve" not in peer_names()
