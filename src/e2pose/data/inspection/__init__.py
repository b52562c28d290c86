"""Checks of labelled images, for `e2pose doctor data`."""
