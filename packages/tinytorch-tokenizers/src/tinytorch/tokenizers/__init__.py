"""Character and byte-level BPE tokenizers in the standard library alone."""

__version__ = "0.1.0"
