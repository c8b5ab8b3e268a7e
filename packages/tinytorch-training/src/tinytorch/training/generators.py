"""The random generators that training draws from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tinytorch.layers import Module
from tinytorch.tensor import default_generator


class Generators:
    """The default generator, those that modules hold (such as of dropout), and `named` ones."""

    def __init__(self, model: Module, named: Mapping[str, np.random.Generator]) -> None:
        self.model, self.named = model, dict(named)

    def find(self) -> dict[str, np.random.Generator]:
        """All of them as they are now, by name."""
        found = {"default": default_generator()}
        for name, module in self.model.named_modules():
            for key, value in vars(module).items():
                if isinstance(value, np.random.Generator):
                    found[f"module {name}.{key}"] = value
        return found | {f"given {name}": generator for name, generator in self.named.items()}

    def state_dict(self) -> dict[str, Any]:
        """Where each generator stands."""
        return {name: generator.bit_generator.state for name, generator in self.find().items()}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Put each generator back. Raises ValueError, and changes nothing, when they are not those that were saved."""
        found = self.find()
        if found.keys() != saved.keys():
            raise ValueError(f"it has the generators {', '.join(sorted(saved))}, here are {', '.join(sorted(found))}")
        for name, generator in found.items():
            kind = type(generator.bit_generator).__name__
            if saved[name].get("bit_generator") != kind:
                raise ValueError(f"generator {name} was {saved[name].get('bit_generator')}, here it is {kind}")
        for name, generator in found.items():
            generator.bit_generator.state = saved[name]
