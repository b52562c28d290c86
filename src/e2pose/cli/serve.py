"""`e2pose serve`: an HTTP and WebSocket service with a live page."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from e2pose.cli.opening import open_estimator
from e2pose.cli.terminal import print_message
from e2pose.core.errors import MissingExtraError, OptionError
from e2pose.core.files import check_model_file
from e2pose.runtimes.options import DEFAULT_OPTIONS, RuntimeOptions
from e2pose.serve.options import ServeOptions

if TYPE_CHECKING:
    from e2pose.serve.compute import ServedModel

_DEFAULTS = ServeOptions()


def serve(
    *,
    options: Annotated[ServeOptions, Parameter(name="*")] = _DEFAULTS,
    runtime: Annotated[RuntimeOptions, Parameter(name="*")] = DEFAULT_OPTIONS,
    open_page: Annotated[bool, Parameter(name="--open")] = False,
    static: Path | None = None,
    runtime_dir: Path | None = None,
    quiet: Annotated[bool, Parameter(name=("--quiet", "-q"))] = False,
) -> None:
    """Serve poses over HTTP and WebSocket, with a live page.

    The server listens on this machine only. It stops after Ctrl-C, when all running requests are answered.

    Args:
        options: What to serve, where, and within which limits.
        runtime: What runs the models.
        open_page: Open the page in the browser.
        static: Write the page, the models and ONNX Runtime Web into this folder for any static web host, and exit. The
            page then computes in the browser. Without --model, it has the models `fast` and `default`.
        runtime_dir: With --static: the unpacked npm package `onnxruntime-web`, instead of fetching it with npm.
        quiet: Print only errors, warnings and a link with a created token.
    """
    if static is not None:
        if open_page or (replace(options, model=()), runtime) != (_DEFAULTS, DEFAULT_OPTIONS):
            raise OptionError(
                "--static accepts only --model, --runtime-dir and --quiet", "omit the other options: no server starts"
            )
        _write_static_site(static, options.model, runtime_dir, quiet=quiet)
        return
    if runtime_dir is not None:
        raise OptionError("--runtime-dir is used with --static only", "add --static FOLDER, or omit --runtime-dir")
    try:
        from e2pose.runtimes.select import RUNTIMES
        from e2pose.serve.security import read_token
        from e2pose.serve.server import Listener, PoseServer
        from e2pose.zoo.catalogue import resolve_model
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in ("starlette", "uvicorn", "websockets", "h11", "anyio"):
            raise MissingExtraError(error.name or "starlette", "serve") from error
        raise

    names = _names(options.model or ("default",))
    for model in names.values():
        # A download can be interrupted here, and a missing file is reported before the port is opened.
        check_model_file(resolve_model(model, RUNTIMES[runtime.runtime or "onnxruntime"].suffixes).path)
    token = read_token(options)
    listener = Listener(options)
    link = listener.url + (f"#token={token}" if token else "")

    def load() -> dict[str, ServedModel]:
        return {name: _open_model(model, runtime, quiet=quiet) for name, model in names.items()}

    def on_ready() -> None:
        if token and options.token_file is None:
            print(f"ready: {link}", file=sys.stderr, flush=True)  # the only place that shows the token
        elif not quiet:
            print_message(f"ready: {listener.url}")
        if open_page:
            import webbrowser

            webbrowser.open(link)

    on_gpu = runtime.device_kind != "cpu" or runtime.runtime == "tensorrt"
    PoseServer(listener, options, load, token=token, on_gpu=on_gpu, on_ready=on_ready).serve_until_stopped()


def _write_static_site(folder: Path, models: tuple[str, ...], runtime_dir: Path | None, *, quiet: bool) -> None:
    from e2pose.serve.static_site import write_static_site

    size_mb = write_static_site(folder, tuple(_names(models).values()), runtime_dir) / 1e6
    if not quiet:
        print_message(f"wrote {size_mb:.0f} MB; try it with: python3 -m http.server --directory '{folder}'")


def _names(models: tuple[str, ...]) -> dict[str, str]:
    """Returns the models by the name that clients use: the name of the catalogue, or of the file without suffix."""
    names = [Path(model).stem if Path(model).suffix else model for model in models]
    if len(set(names)) < len(names):
        raise OptionError(
            f"two models have the same name: {', '.join(names)}", "name each model once, or rename the model files"
        )
    return dict(zip(names, models, strict=True))


def _open_model(model: str, runtime: RuntimeOptions, *, quiet: bool) -> ServedModel:
    from e2pose.serve.compute import ServedModel

    estimator = open_estimator(model, runtime, num_images=None, quiet=quiet)
    alone = open_estimator(model, runtime, quiet=True) if estimator.num_parallel > 1 else estimator
    return ServedModel(estimator, alone)
