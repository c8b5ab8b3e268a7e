"""The random generators that training draws from, as JSON can hold them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tinytorch.layers import Module
from tinytorch.tensor import default_generator


def find(model: Module, extra: Mapping[str, np.random.Generator]) -> dict[str, np.random.Generator]:
    """The default generator, those that modules hold (such as of dropout), and `extra` ones, by name."""
    found = {"default": default_generator()}
    for name, module in model.named_modules():
        for key, value in vars(module).items():
            if isinstance(value, np.random.Generator):
                found[f"module {name}.{key}"] = value
    return found | {f"given {name}": generator for name, generator in extra.items()}


def states(generators: Mapping[str, np.random.Generator]) -> dict[str, Any]:
    """Where each generator stands."""
    return {name: plain(generator.bit_generator.state) for name, generator in generators.items()}


def restore(generators: Mapping[str, np.random.Generator], saved: Mapping[str, Any]) -> None:
    """Put each generator back. Raises ValueError, and changes nothing, when they are not those that were saved."""
    if generators.keys() != saved.keys():
        raise ValueError(
            f"checkpoint: it has the generators {', '.join(sorted(saved))}, here are {', '.join(sorted(generators))}"
        )
    for name, generator in generators.items():
        kind = type(generator.bit_generator).__name__
        if saved[name].get("bit_generator") != kind:
            raise ValueError(f"checkpoint: generator {name} was {saved[name].get('bit_generator')}, here it is {kind}")
    for name, generator in generators.items():
        generator.bit_generator.state = saved[name]


def plain(state: Any) -> Any:
    """`state` with lists for arrays; NumPy takes those back."""
    if isinstance(state, Mapping):
        return {key: plain(value) for key, value in state.items()}
    return state.tolist() if isinstance(state, np.ndarray | np.generic) else state
