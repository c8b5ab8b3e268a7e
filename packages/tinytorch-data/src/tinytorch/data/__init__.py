"""Datasets, transforms and seeded, resumable loaders."""

__version__ = "0.1.0"
