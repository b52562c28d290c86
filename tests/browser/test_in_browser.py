"""The page as a static folder, which computes in the browser."""

import shutil
from pathlib import Path

import pytest

from helpers.browser import ISOLATION, file_server, next_results, similarities, wait_until

from .conftest import SAMPLES

pytestmark = pytest.mark.slow

IMAGES = ["park.jpg", "astronaut.jpg", "balance.jpg", "treadmill.jpg"]


def open_image(page, name: str) -> list[dict]:
    return next_results(page, act=lambda: page.set_input_files("#file", SAMPLES / name), timeout_s=60)[0]["persons"]


@pytest.mark.parametrize("isolated", [True, False])
def test_poses_equal_those_of_python_with_and_without_isolation(
    isolated: bool, open_page, static_site: Path, estimators
) -> None:
    with file_server(static_site, ISOLATION if isolated else None) as url:
        page = open_page(url, service_workers="block")
        assert page.evaluate("crossOriginIsolated") == isolated
        assert page.inner_text("#place") == "Computed in this browser"
        for name in IMAGES:
            poses = estimators["fast"](SAMPLES / name)
            persons = open_image(page, name)
            assert len(persons) == len(poses)
            assert similarities(persons, poses).min() > 0.97
        page.select_option("#model", "default")
        next_results(page, timeout_s=60)  # of the image that is open
        poses = estimators["default"](SAMPLES / IMAGES[-1])
        assert similarities(open_image(page, IMAGES[-1]), poses).min() > 0.97
        page.close()


def test_page_isolates_itself_and_works_without_a_network_after_the_first_visit(open_page, static_site: Path) -> None:
    with file_server(static_site) as url:
        page = open_page(url)
        open_image(page, "park.jpg")
        assert page.evaluate("crossOriginIsolated")
    page.reload()
    page.locator("#model option").first.wait_for(state="attached")
    assert open_image(page, "park.jpg")


def test_camera_is_tracked_and_smoothed_in_the_browser(open_page, static_site: Path) -> None:
    with file_server(static_site, ISOLATION) as url:
        page = open_page(url, service_workers="block")
        page.click("#track")
        page.click("#smooth")
        next_results(page, 2, act=lambda: page.click("#camera"), timeout_s=60)
        persons = next_results(page, 2)[-1]["persons"]
        assert all(person["track_id"] >= 1 for person in persons)
        page.close()


@pytest.mark.parametrize("damage", ["changed", "missing"])
def test_damaged_model_is_reported_in_a_sentence(damage: str, open_page, static_site: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    shutil.copytree(static_site, site, ignore=shutil.ignore_patterns("mobilenetv2*"))
    model = site / "models" / "fast.onnx"
    content = model.read_bytes()
    if damage == "missing":
        model.unlink()
    else:
        model.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with file_server(site, ISOLATION) as url:
        page = open_page(url, service_workers="block", expect_errors=True)
        wait_until(page, "document.querySelector('#notice').textContent.includes('.onnx')")
        notice = page.inner_text("#notice")
        assert ("HTTP 404" if damage == "missing" else "does not match the hash") in notice
        page.close()


def test_page_of_a_server_removes_the_service_worker_of_a_folder(open_page, static_site: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    shutil.copytree(static_site, site, ignore=shutil.ignore_patterns("mobilenetv2*"))
    index = (site / "index.html").read_text()
    count = "navigator.serviceWorker.getRegistrations().then((all) => all.length)"
    with file_server(site) as url:
        page = open_page(url, expect_errors=True)  # there is no server behind the second page
        assert page.evaluate(count) == 1
        (site / "index.html").write_text(index.replace('compute" content="browser"', 'compute" content="server"'))
        page.reload()
        page.locator("#notice:not([hidden])").wait_for()
        assert page.evaluate(count) == 0
        page.close()
