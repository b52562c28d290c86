"""The interactive live view: a window, its keys, and a model that can be changed while it runs."""
