import shutil

import cv2
import numpy as np

from e2pose.data.inspection import image_files as pictures
from e2pose.data.inspection.findings import Part
from e2pose.data.inspection.image_files import copies, fingerprint_bits, read_pictures
from helpers.labels import good_images, made_dataset, write_dataset, write_noise


def part(folder, dataset, side="learned") -> Part:
    return Part(folder.name, folder / "images", dataset, side)


def inspected(*parts) -> tuple[list[list[str]], list[tuple[str, str, bool]]]:
    problems, prints = read_pictures(parts, None)
    same = [(problem.check, problem.example, problem.is_error) for problem in copies(parts, prints)]
    return [[f"{problem.check}: {problem.example}" for problem in some] for some in problems], same


def test_good_files_have_no_problem(tmp_path):
    one, two = made_dataset(*good_images(20)), made_dataset(*good_images(20))
    parts = [
        part(write_dataset(tmp_path / "a", one), one),
        part(write_dataset(tmp_path / "b", two, seed=1), two, "held"),
    ]
    told = []
    problems, prints = read_pictures(parts, told.append)
    assert problems == [[], []]
    assert told == [40] * 40
    assert [one.name for one in prints][:2] == ["0.png", "1.png"]
    assert list(copies(parts, prints)) == []


def test_files_that_are_missing_broken_or_of_another_size(tmp_path):
    data = made_dataset(*good_images(4))
    folder = write_dataset(tmp_path / "a", data)
    (folder / "images" / "0.png").unlink()
    (folder / "images" / "1.png").write_bytes((folder / "images" / "1.png").read_bytes()[:200])
    write_noise(folder / "images" / "2.png", seed=0, size_hw=(60, 80))
    (problems,), _ = inspected(part(folder, data))
    assert len(problems) == 3
    assert problems[0].startswith(pictures.UNREADABLE)
    assert "0.png" in problems[0]
    assert "truncated" in problems[1]
    assert problems[2] == f"{pictures.OTHER_SIZE}: 2.png: 80x60, but 160x120 in the labels"


def test_the_same_file_twice_is_worse_across_sides(tmp_path):
    data = made_dataset(*good_images(3))
    one, two = write_dataset(tmp_path / "a", data), write_dataset(tmp_path / "b", data, seed=1)
    shutil.copy(one / "images" / "0.png", one / "images" / "1.png")
    shutil.copy(one / "images" / "2.png", two / "images" / "1.png")
    _, across = inspected(part(one, data), part(two, data, "held out"))
    assert across == [
        (pictures.COPY, "a: 0.png = a: 1.png", False),
        (pictures.COPY_ACROSS, "a: 2.png = b: 1.png", True),
    ]
    _, together = inspected(part(one, data), part(two, data))
    assert [(check, is_error) for check, _, is_error in together] == [(pictures.COPY, False)] * 2


def test_near_copies_are_found_across_sides_alone(tmp_path):
    data = made_dataset(*good_images(3))
    one, two = write_dataset(tmp_path / "a", data), write_dataset(tmp_path / "b", data, seed=1)
    picture = cv2.imread(str(one / "images" / "1.png"))
    _, compressed = cv2.imencode(
        ".jpg", cv2.convertScaleAbs(picture, alpha=0.9, beta=5), [cv2.IMWRITE_JPEG_QUALITY, 60]
    )
    (two / "images" / "2.png").write_bytes(compressed.tobytes())
    _, across = inspected(part(one, data), part(two, data, "held out"))
    assert across == [(pictures.NEAR_ACROSS, "b: 2.png = a: 1.png", False)]
    assert inspected(part(one, data), part(two, data))[1] == []


def test_bits_survive_scaling_and_tell_pictures_apart():
    noise = [np.random.default_rng(seed).integers(0, 256, (9, 12, 3), dtype=np.uint8) for seed in range(2)]
    one, other = (cv2.resize(some, (160, 120), interpolation=cv2.INTER_CUBIC) for some in noise)
    small = cv2.resize(one, (97, 71), interpolation=cv2.INTER_AREA)
    bits = fingerprint_bits(one)
    assert np.bitwise_count(bits ^ fingerprint_bits(small)).sum() <= 12
    assert np.bitwise_count(bits ^ fingerprint_bits(other)).sum() > 60
