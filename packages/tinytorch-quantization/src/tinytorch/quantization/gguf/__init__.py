"""GGUF files: reading and writing tensors and metadata, and whole models with their tokenizers."""

from .container import GGUFFile, read_gguf
from .load import load_gguf
from .save import save_gguf
from .writing import write_gguf

__all__ = ["GGUFFile", "read_gguf", "write_gguf", "load_gguf", "save_gguf"]
