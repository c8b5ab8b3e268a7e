"""Models that others have trained, in Hugging Face's layout: a folder with `config.json` and safetensors files.

Each family is one file: what its configuration means here, and what its weights are called.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy.typing as npt

from ..bert import BERT
from ..gpt import GPT
from . import bert, gpt2, llama
from .checkpoint import Checkpoint
from .weights import Names, fill

Family = Callable[[Checkpoint, npt.DTypeLike | None], tuple[Any, Names]]

FAMILIES: dict[str, Family] = {"gpt2": gpt2.build, "llama": llama.build, "bert": bert.build}


def load_pretrained(folder: str | os.PathLike[str], dtype: npt.DTypeLike | None = None) -> GPT | BERT:
    """The model in `folder`: a `GPT` for GPT-2 and Llama checkpoints, a `BERT` for BERT's, switched to `eval()`.

    `folder` holds `config.json` and `model.safetensors`, or the files that `model.safetensors.index.json` names. The
    parameters have `dtype`, the default one unless given.

    Raises FileNotFoundError when a file is missing, ValueError for a `model_type` or an option that is not known, for
    weights that are missing or left over, and for shapes that do not fit; nothing is left out in silence.
    """
    checkpoint = Checkpoint(Path(folder))
    family = checkpoint.config.get("model_type")
    if family not in FAMILIES:
        raise ValueError(f"load_pretrained: {folder} is a {family!r} model; known are {', '.join(FAMILIES)}")
    model, names = FAMILIES[family](checkpoint, dtype)
    fill(model, names, checkpoint)
    built: GPT | BERT = model.eval()
    return built


__all__ = ["load_pretrained"]
