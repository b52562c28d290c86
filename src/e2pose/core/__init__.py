"""The types that all packages share: plain records of NumPy arrays, without image libraries or networks."""
