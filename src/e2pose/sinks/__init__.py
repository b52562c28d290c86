"""Poses to pictures, videos, text and tables."""
