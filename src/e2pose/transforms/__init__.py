"""Images onto canvases and back."""
