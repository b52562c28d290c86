"""Evaluation of poses on annotated images: metrics, calibration, latency and reports."""
