"""Real-time multi-person 2D pose estimation in one pass."""
