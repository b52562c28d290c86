"""Poses as pixels: pure functions from a picture to a new picture."""
