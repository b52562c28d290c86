import shutil
from dataclasses import replace

import cv2
import numpy as np

from e2pose.data.inspection.findings import Check, Subset
from e2pose.data.inspection.image_files import (
    DUPLICATE,
    LEAK,
    NEAR_LEAK,
    UNREADABLE,
    WRONG_SIZE,
    check_image_files,
    difference_hash,
    find_duplicates,
    to_problem,
)
from helpers.labels import make_annotations, valid_images, write_dataset, write_noise


def write_subset(folder, *, images=3, split="training", seed=0) -> Subset:
    annotations = make_annotations(*valid_images(images))
    images = write_dataset(folder, annotations, seed=seed) / "images"
    return Subset(folder.name, images, annotations, split, source=folder.name)


def duplicates_of(*subsets) -> list[tuple[Check, str]]:
    _, fingerprints = check_image_files(subsets, None)
    return [(problem.check, problem.example) for problem in find_duplicates(fingerprints)]


def test_valid_files_have_no_problems(tmp_path):
    subsets = [
        write_subset(tmp_path / "a", images=20),
        write_subset(tmp_path / "b", images=20, seed=1, split="held out"),
    ]
    reported_totals = []
    errors, fingerprints = check_image_files(subsets, reported_totals.append)
    assert errors == [{}, {}]
    assert reported_totals == [40] * 40
    assert [one.name for one in fingerprints][:2] == ["0.png", "1.png"]
    assert list(find_duplicates(fingerprints)) == []


def test_missing_truncated_and_resized_files_are_errors(tmp_path):
    subset = write_subset(tmp_path / "a", images=4)
    (subset.folder / "0.png").unlink()
    (subset.folder / "1.png").write_bytes((subset.folder / "1.png").read_bytes()[:200])
    write_noise(subset.folder / "2.png", seed=0, size_hw=(60, 80))
    (errors,), fingerprints = check_image_files([subset], None)
    assert list(errors) == [0, 1, 2]
    problems = [to_problem(error) for error in errors.values()]
    assert [problem.check for problem in problems] == [UNREADABLE, UNREADABLE, WRONG_SIZE]
    assert "0.png" in problems[0].example
    assert "truncated" in problems[1].example
    assert problems[2].example.endswith(
        "2.png' is 80 pixels wide and 60 high, but its annotation has width 160 and height 120"
    )
    assert [one.name for one in fingerprints] == ["3.png"]
    assert UNREADABLE.is_error
    assert WRONG_SIZE.is_error


def test_equal_files_are_an_error_only_in_different_splits(tmp_path):
    one, two = write_subset(tmp_path / "a"), write_subset(tmp_path / "b", split="held out", seed=1)
    shutil.copy(one.folder / "0.png", one.folder / "1.png")
    shutil.copy(one.folder / "2.png", two.folder / "1.png")
    assert duplicates_of(one, two) == [(DUPLICATE, "a: 0.png = a: 1.png"), (LEAK, "a: 2.png = b: 1.png")]
    same_split = replace(two, split=one.split)
    assert [check for check, _ in duplicates_of(one, same_split)] == [DUPLICATE] * 2
    assert LEAK.is_error
    assert not DUPLICATE.is_error


def test_nearly_equal_images_are_reported_only_in_different_splits(tmp_path):
    one, two = write_subset(tmp_path / "a"), write_subset(tmp_path / "b", split="held out", seed=1)
    brighter = cv2.convertScaleAbs(cv2.imread(str(one.folder / "1.png")), alpha=0.9, beta=5)
    _, compressed = cv2.imencode(".jpg", brighter, [cv2.IMWRITE_JPEG_QUALITY, 60])
    (two.folder / "2.png").write_bytes(compressed.tobytes())
    assert duplicates_of(one, two) == [(NEAR_LEAK, "b: 2.png = a: 1.png")]
    assert duplicates_of(one, replace(two, split=one.split)) == []


def test_difference_hash_survives_scaling_and_separates_images():
    noise = [np.random.default_rng(seed).integers(0, 256, (9, 12, 3), dtype=np.uint8) for seed in range(2)]
    one, other = (cv2.resize(some, (160, 120), interpolation=cv2.INTER_CUBIC) for some in noise)
    small = cv2.resize(one, (97, 71), interpolation=cv2.INTER_AREA)
    bits = difference_hash(one)
    assert np.bitwise_count(bits ^ difference_hash(small)).sum() <= 12
    assert np.bitwise_count(bits ^ difference_hash(other)).sum() > 60
