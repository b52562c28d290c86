"""Sources: images, videos, cameras, streams and screens as frames."""
