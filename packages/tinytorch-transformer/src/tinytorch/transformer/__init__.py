"""Transformer blocks, GPT and its relatives, and text generation."""

__version__ = "0.1.0"
