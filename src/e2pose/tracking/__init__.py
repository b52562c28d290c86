"""Stages that use earlier frames: track ids and smooth keypoints."""
