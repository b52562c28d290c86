"""Sinks: frames with poses to images, videos, text and tables."""
