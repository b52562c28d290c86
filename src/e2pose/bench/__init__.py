"""Comparison of e2pose models with other pose estimators, each in its own process and environment."""
