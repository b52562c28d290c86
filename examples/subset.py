"""Copies the first images of an image set with their annotations: python examples/subset.py SET FOLDER [IMAGES]."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

from e2pose.formats.coco import read_coco, to_coco_annotations


def main(source: str, folder: str, count: str = "16") -> None:
    """Writes an image set with the first `count` images."""
    images = Path(folder) / "images"
    images.mkdir(parents=True, exist_ok=True)
    dataset = read_coco(Path(source) / "annotations.json")
    first = replace(dataset, images=dataset.images[: int(count)])
    for image in first.images:
        shutil.copy(Path(source) / "images" / image.file_name, images / image.file_name)
    (Path(folder) / "annotations.json").write_text(json.dumps(to_coco_annotations(first)), encoding="utf-8")
    print(f"{len(first.images)} images in {folder}")


if __name__ == "__main__":
    main(*sys.argv[1:])
