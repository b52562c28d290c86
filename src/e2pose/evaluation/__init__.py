"""Poses and annotations to numbers."""
