"""Data to learn from: shipped with the package, or downloaded once and kept."""

from .cifar10 import CIFAR10_CLASSES, cifar10, read_cifar10
from .digits import digits
from .download import RemoteFile, cache_folder, fetch
from .idx import read_idx
from .mnist import mnist
from .shakespeare import shakespeare
from .source import python_source
from .tinytalks import TinyTalks, tinytalks

__all__ = [
    "CIFAR10_CLASSES", "RemoteFile", "TinyTalks", "cache_folder", "cifar10", "digits", "fetch", "mnist",
    "python_source", "read_cifar10", "read_idx", "shakespeare", "tinytalks",
]  # fmt: skip
