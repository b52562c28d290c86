"""Made pictures for canvases."""

import numpy as np

from e2pose.data.augmentation.plan import Finish

PLAIN = Finish(np.eye(3, 4, dtype=np.float32))


class Shelf(list):
    """Pictures as `e2pose.data.image_store.Pictures` holds them, each in its own size unless given."""

    def __init__(self, *pictures, sizes_hw=None):
        super().__init__(pictures)
        self._sizes_hw = sizes_hw or [picture.shape[:2] for picture in pictures]

    def size_hw(self, number):
        return self._sizes_hw[number]
