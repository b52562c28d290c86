"""Backbones: image classifiers without their classifier, with torchvision's parameter names."""
