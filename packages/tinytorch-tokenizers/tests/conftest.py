from pathlib import Path

import pytest

from tinytorch.tokenizers import BPETokenizer

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="session")
def golden() -> Path:
    """The files that Hugging Face's tokenizers wrote (tests-integration/golden/make_tokenizers.py)."""
    return GOLDEN


@pytest.fixture(scope="session")
def tokenizer() -> BPETokenizer:
    return BPETokenizer.load(GOLDEN / "gpt2.tokenizer.json")
