"""Labelled pictures to weights."""
