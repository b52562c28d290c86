"""The page as a folder of files for any static web host: everything is computed in the browser of the visitor."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from e2pose.core.errors import ModelError
from e2pose.core.files import atomic_path, check_folder, sha256_of
from e2pose.inference.estimator import Estimator
from e2pose.serve.web_runtime import BINARY, MODULE, PACKAGE, VERSION, find_web_runtime
from e2pose.zoo.catalogue import resolve_model

MODELS = ("fast", "default")

_PAGE = Path(__file__).with_name("static")
_AT_ROOT = ("index.html", "service-worker.js")  # a service worker controls the folder that it is in
_SERVER_MARK, _BROWSER_MARK = (f'<meta name="e2pose-compute" content="{place}">' for place in ("server", "browser"))


def write_static_site(folder: Path, models: Sequence[str] = (), runtime_folder: Path | None = None) -> int:
    """Writes the page, ONNX Runtime Web, models and a manifest with their hashes; other files in the folder stay.

    Args:
        folder: Created if it is missing.
        models: Names from the catalogue or paths of ONNX files; the page starts with the first. Empty for `MODELS`.
        runtime_folder: The unpacked npm package of ONNX Runtime Web; None to fetch it with npm, once.

    Returns:
        Total size of the written files in bytes.

    Raises:
        ModelError: A model is unknown, or is no ONNX file.
        InputError: ONNX Runtime Web cannot be fetched, or has another hash.
        OutputError: The folder cannot be written.
    """
    check_folder(folder)
    runtime = find_web_runtime(runtime_folder)
    records = [_model_record(name) for name in models or MODELS]
    files = {_runtime_path(name): path for name, path in runtime.items()}
    files |= {f"models/{path.name}": path for _, path in records}
    files |= {path.name if path.name in _AT_ROOT else f"static/{path.name}": path for path in sorted(_PAGE.iterdir())}
    files |= {f"licences/{name}": path for name, path in _licences().items()}
    for name, source in files.items():
        with atomic_path(folder / name) as target:
            if name == "index.html":
                target.write_text(_for_browser(source.read_text(encoding="utf-8")), encoding="utf-8")
            else:
                shutil.copyfile(source, target)
    entries = {name: _entry(folder, name) for name in files}
    manifest = {
        "models": [{**record, "file": entries[f"models/{path.name}"]} for record, path in records],
        "runtime": {
            "name": f"{PACKAGE} {VERSION}",
            "module": entries[_runtime_path(MODULE)],
            "binary": entries[_runtime_path(BINARY)],
        },
        "page": [entry for name, entry in entries.items() if name.startswith("static/") or name in _AT_ROOT],
    }
    with atomic_path(folder / "manifest.json") as target:
        target.write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    return sum((folder / name).stat().st_size for name in (*files, "manifest.json"))


def _runtime_path(name: str) -> str:
    """Returns the path of a runtime file; many web hosts deliver `.mjs` with a type that browsers do not run."""
    return f"runtime/{Path(name).with_suffix('.js') if name == MODULE else name}"


def _model_record(name: str) -> tuple[dict[str, Any], Path]:
    """Returns the description of a model, as in `GET /v1/models` with the input's geometry, and its file."""
    path = resolve_model(name).path
    if path.suffix != ".onnx":
        raise ModelError(
            f"browsers run ONNX files, not '{path}'", "convert the model first: e2pose export MODEL OUT.onnx"
        )
    spec = Estimator.open(name).spec
    record = {
        "name": Path(name).stem,
        "input_size_hw": list(spec.input_size_hw),
        "keypoints": list(spec.schema.keypoints),
        "edges": [list(edge) for edge in spec.schema.edges],
        "threshold": spec.threshold,
        "keypoint_threshold": spec.keypoint_threshold,
        "description": f"{spec.name}, {spec.licence}",
        "fit": spec.fit,
        "multiple_of": spec.multiple_of,
        "keypoint_score_scale": spec.keypoint_score_scale,
        "sigmas": list(spec.schema.sigmas),
    }
    return record, path


def _for_browser(page: str) -> str:
    if page.count(_SERVER_MARK) != 1:
        raise AssertionError(f"index.html must contain {_SERVER_MARK} once")
    return page.replace(_SERVER_MARK, _BROWSER_MARK)


def _entry(folder: Path, name: str) -> dict[str, str | int]:
    path = folder / name
    return {"path": name, "size_bytes": path.stat().st_size, "sha256": sha256_of(path)}


def _licences() -> dict[str, Path]:
    """Returns the licence texts of e2pose and ONNX Runtime; those that are not installed are omitted."""
    try:
        files = distribution("e2pose").files or []
    except PackageNotFoundError:
        files = []
    texts = [file for file in files if file.name in ("LICENSE", "NOTICE")]
    found = {f"e2pose-{file.name}.txt": Path(str(file.locate())) for file in texts}
    spec = find_spec("onnxruntime")
    parts = {"onnxruntime-LICENSE.txt": "LICENSE", "onnxruntime-ThirdPartyNotices.txt": "ThirdPartyNotices.txt"}
    if spec is not None and spec.origin is not None:
        found |= {name: Path(spec.origin).with_name(part) for name, part in parts.items()}
    return {name: path for name, path in found.items() if path.is_file()}
