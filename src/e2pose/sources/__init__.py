"""Pictures, videos and cameras as frames."""
