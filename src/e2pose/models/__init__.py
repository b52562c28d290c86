"""The network: backbone, feature pyramid and head."""
