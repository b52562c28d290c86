"""The nouns that every room speaks: plain records of NumPy arrays, no image library, no network."""
