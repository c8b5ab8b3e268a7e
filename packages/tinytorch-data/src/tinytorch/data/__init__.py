"""Datasets, transforms and seeded, resumable loaders."""

from . import datasets
from .collate import collate
from .dataset import Dataset, Subset, TensorDataset, random_split
from .errors import DownloadError
from .loader import DataLoader
from .prefetch import prefetched
from .transforms import Compose, Normalize, RandomCrop, RandomHorizontalFlip, ToFloat

__version__ = "0.3.0"

__all__ = [
    "Compose", "DataLoader", "Dataset", "DownloadError", "Normalize", "RandomCrop", "RandomHorizontalFlip", "Subset",
    "TensorDataset", "ToFloat", "collate", "datasets", "prefetched", "random_split",
]  # fmt: skip
