"""Us against the peers: the same frames, each peer in its own process and environment."""
