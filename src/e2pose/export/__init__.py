"""A trained network as files that run anywhere."""
