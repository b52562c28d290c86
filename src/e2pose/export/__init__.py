"""Trained networks as files for other runtimes, each verified against its network."""
