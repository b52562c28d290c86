"""In-memory source images for rendering tests."""

from e2pose.data.image_store import ImageStore


class InMemoryImages(ImageStore):
    """A store of given arrays; `sizes_hw` are the original sizes if the arrays are smaller copies."""

    def __init__(self, *images, sizes_hw=None):
        self._cached = list(images)
        self._sizes_hw = sizes_hw or [image.shape[:2] for image in images]

    def size_hw(self, number):
        return self._sizes_hw[number]
