"""From labelled images to the canvases that a network learns from."""
