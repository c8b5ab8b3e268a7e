"""Stage 10: transformer blocks, GPT and its relatives, and text generation."""

from . import processors
from .block import TransformerBlock
from .config import TransformerConfig
from .feedforward import FeedForward
from .generation import Sampling
from .gpt import GPT
from .positions import PositionalEncoding, sinusoids

__version__ = "0.1.0"

__all__ = [
    "GPT", "FeedForward", "PositionalEncoding", "Sampling", "TransformerBlock", "TransformerConfig", "processors",
    "sinusoids",
]  # fmt: skip
