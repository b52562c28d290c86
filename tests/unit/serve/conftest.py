from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from helpers.serving import Client, serving


def png(brightness: int = 255, size_hw: tuple[int, int] = (40, 60)) -> bytes:
    return cv2.imencode(".png", np.full((*size_hw, 3), brightness, np.uint8))[1].tobytes()


@pytest.fixture(scope="package")
def client(tiny_model: Path) -> Iterator[Client]:
    """A client of a server with the tiny model."""
    with serving({"tiny": tiny_model}) as client:
        yield client


@pytest.fixture(scope="session")
def white() -> bytes:
    """An image in which the tiny model finds a person."""
    return png()
