"""Networks that run: canvases in, candidates out."""
