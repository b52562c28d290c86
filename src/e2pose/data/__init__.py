"""Labelled images to training batches."""
