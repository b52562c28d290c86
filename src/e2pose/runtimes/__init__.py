"""Runtimes: they run a network on a batch and return its candidates."""
