"""Drawing of poses, labels and blur into images: pure functions from pixels to pixels."""
