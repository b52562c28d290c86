"""Poses with memory: who is who from frame to frame, and steady keypoints."""
