"""The HTTP and WebSocket service, and its page."""
