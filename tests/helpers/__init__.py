"""Synthetic data, fakes and servers that several tests use."""
