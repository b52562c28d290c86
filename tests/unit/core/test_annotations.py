"""Annotations of a dataset."""

import pytest

from e2pose.core.annotations import Omission


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (7, "omitted 7 annotations: category 7 is not listed (for example annotation 17)"),
        (1, "omitted 1 annotation: category 7 is not listed (for example annotation 17)"),
    ],
)
def test_omission_reads_as_a_sentence(count, text):
    assert str(Omission("annotations", "category 7 is not listed", count, "annotation 17")) == text
