"""The page as a folder for static hosts, with stand-ins for the files of ONNX Runtime Web."""

import hashlib
import io
import json
import subprocess
import tarfile
from pathlib import Path

import pytest

from e2pose.cli.app import main
from e2pose.core.errors import E2PoseError, InputError, ModelError, OutputError
from e2pose.serve import web_runtime
from e2pose.serve.static_site import write_static_site
from e2pose.serve.web_runtime import SHA256, find_web_runtime

CONTENTS = {name: f"stand-in for {name}".encode() for name in SHA256}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An unpacked npm package, and an empty cache."""
    monkeypatch.setenv("E2POSE_HOME", str(tmp_path / "cache"))
    for name, content in CONTENTS.items():
        monkeypatch.setitem(SHA256, name, hashlib.sha256(content).hexdigest())
        (tmp_path / "package" / "dist").mkdir(parents=True, exist_ok=True)
        (tmp_path / "package" / "dist" / name).write_bytes(content)
    return tmp_path / "package"


@pytest.fixture
def npm(package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Replaces npm; returns the list of its runs and the files that it packs."""
    runs, packed = [], dict(CONTENTS)

    def run(command, **_options):
        runs.append(command)
        folder = Path(command[command.index("--pack-destination") + 1])
        with tarfile.open(folder / "package.tgz", "w:gz") as archive:
            for name, content in packed.items():
                entry = tarfile.TarInfo(f"package/dist/{name}")
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(web_runtime.shutil, "which", lambda _: "/usr/bin/npm")
    monkeypatch.setattr(web_runtime.subprocess, "run", run)
    return runs, packed


def test_site_has_the_hashes_of_all_files(package: Path, tiny_model: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    size = write_static_site(site, [str(tiny_model)], package)
    assert size == sum(path.stat().st_size for path in site.rglob("*") if path.is_file())
    manifest = json.loads((site / "manifest.json").read_text())
    (model,) = manifest["models"]
    assert model["name"] == "tiny"
    assert len(model["keypoints"]) == len(model["sigmas"])
    entries = [model["file"], manifest["runtime"]["module"], manifest["runtime"]["binary"], *manifest["page"]]
    for entry in entries:
        content = (site / entry["path"]).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (entry["size_bytes"], entry["sha256"])
    assert manifest["runtime"]["module"]["path"].endswith(".js")
    names = {entry["path"] for entry in manifest["page"]}
    assert {"index.html", "service-worker.js", "static/app.js", "static/compute.js", "static/style.css"} <= names
    assert 'name="e2pose-compute" content="browser"' in (site / "index.html").read_text()
    assert (site / "licences" / "onnxruntime-LICENSE.txt").is_file()


def test_writing_again_keeps_other_files(package: Path, tiny_model: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    write_static_site(site, [str(tiny_model)], package)
    (site / "own.html").write_text("own")
    (site / "index.html").write_text("old")
    write_static_site(site, [str(tiny_model)], package)
    assert (site / "own.html").read_text() == "own"
    assert (site / "index.html").read_text() != "old"


def test_bundled_models_are_the_default(package: Path, tmp_path: Path) -> None:
    write_static_site(tmp_path / "site", runtime_folder=package)
    models = json.loads((tmp_path / "site" / "manifest.json").read_text())["models"]
    assert [model["name"] for model in models] == ["fast", "default"]
    assert {"fit": "letterbox", "multiple_of": 32, "threshold": 0.65}.items() <= models[0].items()


def test_model_of_another_format_is_refused(package: Path, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(ModelError, match="browsers run ONNX files"):
        write_static_site(tmp_path / "site", [str(tmp_path / "model.safetensors")], package)
    assert not (tmp_path / "site").exists()


def test_one_named_model_is_the_only_one(package: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    assert main(["serve", "--static", str(site), "--model", "default", "--runtime-dir", str(package)]) == 0
    assert [path.name for path in (site / "models").iterdir()] == ["mobilenetv2-320.onnx"]


def test_output_that_is_a_file_is_an_error_before_anything_is_fetched(npm, tmp_path: Path) -> None:
    (tmp_path / "site").touch()
    with pytest.raises(OutputError, match="is a file"):
        write_static_site(tmp_path / "site")
    assert npm[0] == []


@pytest.mark.parametrize("option", [["--port", "9"], ["--open"], ["--threads", "2"], ["--host", "0.0.0.0"]])
def test_options_of_a_server_are_refused(option: list[str], tmp_path: Path, capsys) -> None:
    assert main(["serve", "--static", str(tmp_path / "site"), *option]) == 2
    assert "--static accepts only --model, --runtime-dir and --quiet" in capsys.readouterr().err


def test_package_is_fetched_once(npm) -> None:
    runs, _ = npm
    first, second = find_web_runtime(), find_web_runtime()
    assert first == second
    assert {name: path.read_bytes() for name, path in first.items()} == CONTENTS
    assert [command[1:3] for command in runs] == [["pack", f"onnxruntime-web@{web_runtime.VERSION}"]]


def test_damaged_cache_is_replaced(npm) -> None:
    runs, _ = npm
    path = next(iter(find_web_runtime().values()))
    path.write_bytes(b"damaged")
    assert find_web_runtime()[path.name].read_bytes() == CONTENTS[path.name]
    assert len(runs) == 2


@pytest.mark.parametrize("change", ["other", "missing"])
def test_package_with_other_content_is_refused(change: str, npm, tmp_path: Path) -> None:
    _, packed = npm
    name = list(packed)[1]
    if change == "other":
        packed[name] = b"other"
    else:
        del packed[name]
    with pytest.raises(InputError, match=f"'{name}' of onnxruntime-web@.* has the SHA-256"):
        find_web_runtime()
    assert not list((tmp_path / "cache").rglob(name))


@pytest.mark.parametrize("damage", ["other", "missing"])
def test_folder_with_other_content_is_refused(damage: str, package: Path) -> None:
    path = package / "dist" / web_runtime.BINARY
    path.unlink() if damage == "missing" else path.write_bytes(b"other")
    with pytest.raises(InputError, match="has no file" if damage == "missing" else "has the SHA-256") as raised:
        find_web_runtime(package)
    assert "npm pack onnxruntime-web@" in raised.value.hint


def test_dist_folder_and_its_parents_are_accepted(package: Path) -> None:
    assert find_web_runtime(package) == find_web_runtime(package / "dist") == find_web_runtime(package.parent)


def fail(command, **_options):
    return subprocess.CompletedProcess(command, 1, "", "npm error code ENOTFOUND\nnpm error network is unreachable\n")


def time_out(command, **options):
    raise subprocess.TimeoutExpired(command, options["timeout"])


MISSING = {
    "needs npm, which is not installed": (None, fail, ""),
    "npm error network is unreachable": ("npm", fail, ""),
    "within 600 seconds": ("npm", time_out, ""),
    "E2POSE_OFFLINE forbids downloads": ("npm", fail, "1"),
}


@pytest.mark.parametrize("message", MISSING)
def test_missing_package_is_explained(message: str, package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    npm_path, run, offline = MISSING[message]
    monkeypatch.setenv("E2POSE_OFFLINE", offline)
    monkeypatch.setattr(web_runtime.shutil, "which", lambda _: npm_path)
    monkeypatch.setattr(web_runtime.subprocess, "run", run)
    with pytest.raises(E2PoseError, match=message) as raised:
        find_web_runtime()
    assert "--runtime-dir" in raised.value.hint


def test_command_writes_the_folder(package: Path, tiny_model: Path, tmp_path: Path, capsys) -> None:
    arguments = ["--model", str(tiny_model), "--static", str(tmp_path / "site"), "--runtime-dir", str(package)]
    assert main(["serve", *arguments]) == 0
    assert "python3 -m http.server --directory" in capsys.readouterr().err
    assert (tmp_path / "site" / "index.html").is_file()


def test_runtime_folder_without_static_is_refused(capsys) -> None:
    assert main(["serve", "--runtime-dir", "package"]) == 2
    assert "--static" in capsys.readouterr().err
