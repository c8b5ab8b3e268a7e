"""Stage 10: transformer blocks, GPT and its relatives, and text generation."""

from . import processors
from .bert import BERT
from .block import TransformerBlock
from .config import TransformerConfig
from .encoder_decoder import EncoderDecoder
from .feedforward import FeedForward
from .generation import Sampling
from .gpt import GPT
from .positions import PositionalEncoding, sinusoids
from .pretrained import load_pretrained

__version__ = "0.3.0"

__all__ = [
    "BERT", "GPT", "EncoderDecoder", "FeedForward", "PositionalEncoding", "Sampling", "TransformerBlock",
    "TransformerConfig", "load_pretrained", "processors", "sinusoids",
]  # fmt: skip
