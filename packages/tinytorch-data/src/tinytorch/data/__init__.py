"""Datasets, transforms and seeded, resumable loaders."""

from . import datasets
from .collate import collate
from .dataset import Dataset, Subset, TensorDataset, random_split

__version__ = "0.1.0"

__all__ = ["Dataset", "Subset", "TensorDataset", "collate", "datasets", "random_split"]
