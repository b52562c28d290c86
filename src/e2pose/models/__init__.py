"""The networks: E2Pose as published (`paper`), our refinement of it (`refined`), and their weights on disk."""
