"""Small image sets, most of them spoiled, and how many persons a training learns from each of them."""

import json
from pathlib import Path

import cv2
import numpy as np

SIZE_HW = (48, 64)


def entry(number=1, **changes):
    """Returns the annotation of a person with three keypoints."""
    return {
        "id": number,
        "image_id": 1,
        "category_id": 1,
        "iscrowd": 0,
        "area": 900,
        "bbox": [10, 5, 30, 30],
        "keypoints": [15, 10, 2, 25, 20, 2, 35, 30, 2],
        **changes,
    }


def write_coco(
    folder: Path, *annotations, files=("a.png",), names=("hub", "left_tip", "right_tip"), size_hw=SIZE_HW
) -> None:
    """Writes `files`, annotated as images with the ids 1, 2 and so on."""
    (folder / "images").mkdir(parents=True)
    for name in files:
        _write_image(folder / "images" / name, size_hw)
    images = [
        {"id": number, "file_name": name, "width": size_hw[1], "height": size_hw[0]}
        for number, name in enumerate(files, start=1)
    ]
    categories = [{"id": 1, "name": "thing", "keypoints": list(names), "skeleton": []}]
    record = {"images": images, "annotations": list(annotations), "categories": categories}
    (folder / "annotations.json").write_text(json.dumps(record), encoding="utf-8")


def write_yolo(folder: Path, line: str | None) -> None:
    """Writes one image with a text file of one line."""
    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    _write_image(folder / "images" / "a.png", SIZE_HW)
    if line is not None:
        (folder / "labels" / "a.txt").write_text(line, encoding="utf-8")
    text = "train: images\nkpt_shape: [3, 3]\nnames: {0: thing}\nkpt_names: {0: [hub, left_tip, right_tip]}\n"
    (folder / "data.yaml").write_text(text, encoding="utf-8")


def _write_image(path: Path, size_hw) -> None:
    pixels = np.random.default_rng(sum(path.name.encode())).integers(0, 255, (*size_hw, 3), np.uint8)
    cv2.imwrite(str(path), pixels)


def _coco(*annotations, **options):
    return lambda folder: write_coco(folder, *annotations, **options)


def _yolo(line):
    return lambda folder: write_yolo(folder, line)


def _without_files(*names, files):
    def write(folder):
        write_coco(folder, *(entry(n, image_id=n) for n in range(1, len(files) + 1)), files=files)
        for name in names:
            (folder / "images" / name).unlink()

    return write


def _with_files(data: bytes, *names, files):
    def write(folder):
        write_coco(folder, *(entry(n, image_id=n) for n in range(1, len(files) + 1)), files=files)
        for name in names:
            path = folder / "images" / name
            path.write_bytes(data or path.read_bytes()[:200])

    return write


def _with_resized(*names, files):
    def write(folder):
        _without_files(files=files)(folder)
        for name in names:
            _write_image(folder / "images" / name, (20, 30))

    return write


_YOLO_POINTS = "0.3 0.3 2 0.4 0.4 2 0.5 0.5 2"

SPOILED_SETS = {
    # name: (writes the set, persons that are learned; None if the training must not start)
    "good": (_coco(entry()), 1),
    "no annotations": (_coco(), None),
    "unlisted category": (_coco(entry(category_id=7)), None),
    "one of an unlisted category": (_coco(entry(), entry(2, category_id=7)), 1),
    "unlisted name of a category": (_coco(entry(), entry(2, category_id="other")), 1),
    "category id as text": (_coco(entry(category_id="1")), 1),
    "iscrowd as the text 0": (_coco(entry(iscrowd="0")), 1),
    "area of 0 with a box": (_coco(entry(area=0)), 1),
    "no box": (_coco({key: value for key, value in entry().items() if key != "bbox"}), 1),
    "all crowds": (_coco(entry(iscrowd=1), entry(2, iscrowd=1)), None),
    "a crowd": (_coco(entry(), entry(2, iscrowd=1)), 1),
    "no labelled keypoint": (_coco(entry(keypoints=[0] * 9)), None),
    "some without labelled keypoints": (_coco(entry(), entry(2, keypoints=[0] * 9)), 1),
    "box of 0 x 0 with an area": (_coco(entry(bbox=[0, 0, 0, 0])), 1),
    "box outside of the image": (_coco(entry(bbox=[500, 500, 30, 30])), 1),
    "keypoints far outside": (_coco(entry(keypoints=[1500, 10, 2, 2500, 20, 2, 35, 3000, 2])), None),
    "keypoints left of the image": (_coco(entry(keypoints=[-30, 10, 2, -20, 20, 2, -35, 30, 2])), None),
    "keypoints in the padding": (_coco(entry(keypoints=[15, 50, 2, 25, 52, 2, 35, 54, 2])), None),
    "one of three keypoints inside": (_coco(entry(keypoints=[15, 10, 2, 250, 20, 2, 350, 30, 2])), 1),
    "tiny area": (_coco(entry(area=1.5)), None),
    "tiny person beside a good one": (_coco(entry(), entry(2, area=1.5)), 1),
    "one good person among 99 bad": (_coco(entry(), *(entry(n, keypoints=[0] * 9) for n in range(2, 101))), 1),
    "every image missing": (_without_files("a.png", "b.png", files=("a.png", "b.png")), None),
    "one image missing": (_without_files("a.png", files=("a.png", "b.png", "c.png")), 2),
    "every image truncated": (_with_files(b"", "a.png", files=("a.png",)), None),
    "one image truncated": (_with_files(b"", "b.png", files=("a.png", "b.png")), 1),
    "one image is text": (_with_files(b"<html>not found</html>", "b.png", files=("a.png", "b.png")), 1),
    "every image of another size": (_with_resized("a.png", files=("a.png",)), None),
    "one image of another size": (_with_resized("b.png", files=("a.png", "b.png")), 1),
    "an image without persons": (_coco(entry(), files=("a.png", "b.png")), 1),
    "image of one pixel": (_coco(entry(keypoints=[0, 0, 2] * 3, area=0.5), size_hw=(1, 1)), 1),
    "very wide image": (_coco(entry(keypoints=[1500, 1, 2] * 3, area=4), size_hw=(2, 3000)), None),
    "no image": (_coco(files=()), None),
    "YOLO": (_yolo(f"0 0.4 0.4 0.5 0.5 {_YOLO_POINTS}"), 1),
    "YOLO of another class": (_yolo(f"3 0.4 0.4 0.5 0.5 {_YOLO_POINTS}"), None),
    "YOLO with an empty text file": (_yolo(""), None),
    "YOLO without text files": (_yolo(None), None),
    "YOLO with keypoints in pixels": (_yolo("0 0.4 0.4 0.5 0.5 30 30 2 40 40 2 20 20 2"), None),
}
