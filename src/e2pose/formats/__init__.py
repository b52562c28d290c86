"""Nouns as text and tables, and back."""
