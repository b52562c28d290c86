"""A browser with a fake camera, the server, and the page as a folder. Tests are skipped where something is missing."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from e2pose.core.errors import InputError
from e2pose.inference.estimator import Estimator, load
from helpers.browser import LISTEN, pose_server, write_y4m

SAMPLES = Path(__file__).parents[2] / "samples"
TOKEN = "token-of-the-browser-tests"
PLAIN_HOST = "plain.test"  # resolves to this machine, but browsers do not trust it as they trust localhost
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
CAMERA_WH = 236, 320  # the size of the input: only the JPEG compression changes the frames
NUM_CAMERA_FRAMES = 30


@pytest.fixture(scope="session")
def camera_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first frames of the sample video, which the fake camera repeats."""
    target = tmp_path_factory.mktemp("camera") / "camera.y4m"
    return write_y4m(SAMPLES / "sidestep.mp4", target, CAMERA_WH, NUM_CAMERA_FRAMES)


@pytest.fixture(scope="session")
def browser(camera_video: Path) -> Iterator[object]:
    """Chromium with a fake camera."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed; on Debian: apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    arguments = [
        "--headless=new",
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-video-capture={camera_video}",
        f"--host-resolver-rules=MAP {PLAIN_HOST} 127.0.0.1",
        "--enable-precise-memory-info",
        "--js-flags=--expose-gc",
    ]
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser):
    """Opens pages, and checks in the end that they logged no errors and requested nothing from other hosts."""
    contexts, problems, hosts = [], [], set()

    def open_page(url: str, *, expect_errors: bool = False, **options):
        context = browser.new_context(viewport={"width": 1280, "height": 800}, **options)
        contexts.append(context)
        page = context.new_page()
        page.add_init_script(LISTEN)
        page.set_default_timeout(60_000)
        if not expect_errors:
            page.on("console", lambda message: message.type == "error" and problems.append(message.text))
            page.on("pageerror", lambda error: problems.append(str(error)))
        context.on("request", lambda request: hosts.add((urlsplit(request.url).netloc, urlsplit(url).netloc)))
        page.goto(url)
        page.locator("#model option, #notice:not([hidden])").first.wait_for(state="attached")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not problems
    assert all(requested in ("", own) for requested, own in hosts)


@pytest.fixture(scope="session")
def token_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("token") / "token"
    path.write_text(TOKEN)
    return path


@pytest.fixture(scope="session")
def server(token_file: Path) -> Iterator[str]:
    """The address of `e2pose serve` without the token."""
    pytest.importorskip("starlette", reason="the extra 'serve' is not installed")
    with pose_server("--token-file", token_file, "--allow-host", PLAIN_HOST) as url:
        yield url


@pytest.fixture
def live_page(open_page, server: str):
    """The page of the server."""
    return open_page(f"{server}#token={TOKEN}")


@pytest.fixture(scope="session")
def static_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page as a folder with the bundled models."""
    from e2pose.serve.static_site import write_static_site

    folder = tmp_path_factory.mktemp("site")
    try:
        write_static_site(folder)
    except InputError as error:
        pytest.skip(f"ONNX Runtime Web is not available: {error.message}")
    return folder


@pytest.fixture(scope="session")
def estimators() -> dict[str, Estimator]:
    """The models that the page uses, in Python."""
    return {name: load(name) for name in ("default", "fast")}


@pytest.fixture
def take_screenshot(tmp_path: Path):
    """Stores a screenshot; with E2POSE_SCREENSHOTS=FOLDER, where the documentation has its images."""
    folder = Path(os.environ.get("E2POSE_SCREENSHOTS") or tmp_path)

    def take(page, name: str) -> Path:
        path = folder / name
        page.screenshot(path=path, **({"type": "jpeg", "quality": 85} if path.suffix == ".jpg" else {}))
        return path

    return take
