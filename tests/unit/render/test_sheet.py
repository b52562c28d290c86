import numpy as np
import pytest

from e2pose.render.sheet import contact_sheet


@pytest.mark.parametrize(
    ("count", "columns", "shape"), [(5, 3, (2 * 8 + 2, 3 * 6 + 2 * 2, 3)), (2, 4, (8, 6 * 2 + 2, 3))]
)
def test_images_are_arranged_row_by_row(count, columns, shape):
    images = [np.full((8, 6, 3), 100 + index, np.uint8) for index in range(count)]
    sheet = contact_sheet(images, columns, gap=2)
    assert sheet.shape == shape
    for index in range(count):
        y, x = divmod(index, min(columns, count))
        assert (sheet[y * 10 : y * 10 + 8, x * 8 : x * 8 + 6] == 100 + index).all()
    assert (sheet >= 100).all(axis=2).sum() == count * 48, "the rest is dark"
