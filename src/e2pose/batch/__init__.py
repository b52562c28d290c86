"""Batch processing: millions of images and videos, on the processes of one machine or on a Ray cluster."""
