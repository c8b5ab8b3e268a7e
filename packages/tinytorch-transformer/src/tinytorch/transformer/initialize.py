"""Starting values of a transformer."""

from __future__ import annotations

import math

import numpy as np

from tinytorch.layers import Embedding, Linear, Module, init


def initialize(model: Module, num_layers: int, generator: np.random.Generator | None = None) -> None:
    """Draw every weight from a normal distribution of deviation 0.02, and set every bias to 0, in place.

    What ends a part that is added to the stream (`out_proj`, `down`) starts smaller by sqrt(2 num_layers), so that the
    stream does not grow with the number of layers.

    Source: Radford et al. 2019, section 2.3, and GPT-2's code.
    """
    for name, module in model.named_modules():
        if isinstance(module, Linear | Embedding):
            ends_part = name.endswith((".out_proj", ".down"))
            init.normal(module.weight, std=0.02 / math.sqrt(2 * num_layers) if ends_part else 0.02, generator=generator)
        if isinstance(module, Linear) and module.bias is not None:
            init.zeros(module.bias)
