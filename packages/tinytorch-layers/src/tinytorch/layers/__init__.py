"""Modules, layers, activations, norms, losses, initialisers and state dicts."""

__version__ = "0.1.0"
