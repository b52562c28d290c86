"""Conversions between types of `core` and file formats of annotations and poses."""
