"""Models that others have trained, in Hugging Face's layout. Each family is one file: its configuration and names."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy.typing as npt

from tinytorch.layers import Parameter, init
from tinytorch.tensor import FileFormatError

from ..bert import BERT
from ..gpt import GPT
from . import bert, gpt2, llama
from .checkpoint import Checkpoint
from .weights import Family, Weights

FAMILIES: dict[str, Callable[[Checkpoint], Family]] = {
    "gpt2": gpt2.describe, "llama": llama.describe, "bert": bert.describe,
}  # fmt: skip


def load_pretrained(folder: str | os.PathLike[str], dtype: npt.DTypeLike | None = None) -> GPT | BERT:
    """The model in `folder`: a `GPT` for GPT-2 and Llama checkpoints, a `BERT` for BERT's, switched to `eval()`.

    `folder` holds `config.json` and `model.safetensors`, or the files that `model.safetensors.index.json` names. The
    parameters have `dtype`, the default one unless given. What the configuration leaves out is as in transformers. A
    GPT stops where `eos_token_id` says, of `generation_config.json` or else `config.json`; nothing else of
    `generation_config.json` is used.

    Raises FileNotFoundError when a file is missing, FileFormatError for a `model_type` or an option that is not known,
    for weights that are missing, left over or there twice, for shapes that do not fit, and for copies that differ.
    """
    with Checkpoint(Path(folder)) as checkpoint:
        kind = checkpoint.config.get("model_type")
        if kind not in FAMILIES:
            raise checkpoint.wrong(f"model_type is {kind!r}; known are {', '.join(FAMILIES)}")
        Parameter([0.0], dtype)  # raises TypeError for a dtype that weights cannot have
        try:
            with init.undrawn():
                return Weights(checkpoint, FAMILIES[kind](checkpoint.open())).load(dtype).eval()
        except FileFormatError:
            raise
        except (TypeError, ValueError) as error:
            raise checkpoint.wrong(error) from error
