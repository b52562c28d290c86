"""The inference pipeline: from images to poses."""
