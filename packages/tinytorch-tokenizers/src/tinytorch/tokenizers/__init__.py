"""Character and byte-level BPE tokenizers."""

from tinytorch.tokenizers.base import Tokenizer
from tinytorch.tokenizers.bpe import BPETokenizer
from tinytorch.tokenizers.char import CharTokenizer
from tinytorch.tokenizers.patterns import GPT2_PATTERN, LLAMA3_PATTERN
from tinytorch.tokenizers.streaming import StreamDecoder

__all__ = ["GPT2_PATTERN", "LLAMA3_PATTERN", "BPETokenizer", "CharTokenizer", "StreamDecoder", "Tokenizer"]
__version__ = "0.3.0"
