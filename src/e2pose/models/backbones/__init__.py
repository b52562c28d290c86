"""Networks that turn a picture into feature maps, with torchvision's names for their weights."""
