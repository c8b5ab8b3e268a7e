"""Masks: which numbers of a parameter are pruned. They are zero, get no gradient, and no optimizer moves them.

A mask is a buffer next to its parameter, `weight_mask` for `weight`, true where a number stays. So it is part of the
state dict, of files and of checkpoints. The zeros are in the parameter itself: every forward, lowered ones too, is what
it was. A `Keeper` keeps them there, through two seams: a hook of the parameter for its gradient, which then counts in
no norm, and an observer of updates, because momentum, or an update that mixes rows as Muon's does, moves more than the
gradient says.
"""

from __future__ import annotations

import copy
from contextlib import ExitStack
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from tinytorch.layers import Module, Parameter
from tinytorch.optim import observe_updates
from tinytorch.tensor import Array, Tensor, note_write

from .layers import Targets, find, has_matrix, has_table, once

_keepers: WeakValueDictionary[int, Keeper] = WeakValueDictionary()  # by the id of the parameter, which a keeper holds
_observing = ExitStack()


class Keeper:
    """Keeps a parameter at zero where its mask is false. A copy of the module gets one of its own."""

    def __init__(self, parameter: Parameter, mask: Tensor) -> None:
        self.parameter, self.mask = parameter, mask
        learned, parameter.requires_grad = parameter.requires_grad, True  # a frozen one may be learned later
        self._hook = parameter.register_hook(lambda g: g * mask)
        parameter.requires_grad = learned
        if not _keepers:
            _observing.close()  # that of parameters which are gone
            _observing.enter_context(observe_updates(_observe))
        _keepers[id(parameter)] = self

    def clear(self) -> None:
        """Write the zeros."""
        if self.parameter.data.flags.writeable:
            np.copyto(self.parameter.data, 0, where=~self.mask.data)
            note_write(self.parameter.data)
        else:  # read from elsewhere, such as a file that is mapped
            self.parameter.data = np.where(self.mask.data, self.parameter.data, self.parameter.dtype.type(0))

    def stop(self) -> None:
        """Leave the parameter to its optimizer."""
        self._hook.remove()
        _keepers.pop(id(self.parameter), None)
        if not _keepers:
            _observing.close()

    def __reduce__(self) -> Any:
        return Keeper, (self.parameter, self.mask)  # a parameter that is pickled leaves its hooks behind

    def __deepcopy__(self, memo: dict[int, Any]) -> Keeper:
        parameter = copy.deepcopy(self.parameter, memo)
        return self if parameter is self.parameter else Keeper(parameter, copy.deepcopy(self.mask, memo))


def _observe(update: Any, kind: str, group: Any, memory: Any, arrays: list[Array | None]) -> None:
    update()
    for parameter, array in zip(memory.params, arrays, strict=True):
        keeper = _keepers.get(id(parameter))
        if keeper is not None and array is not None:
            keeper.clear()


def mask_of(module: Module, name: str = "weight") -> Array | None:
    """The mask of a parameter, shared with the module; None where there is none."""
    mask = getattr(module, f"{name}_mask", None)
    return mask.data if isinstance(mask, Tensor) and f"{name}_mask" in module._buffers else None


def set_mask(module: Module, keep: Array, name: str = "weight") -> None:
    """Prune a parameter where `keep`, of its shape, is false."""
    known, keeper = mask_of(module, name), getattr(module, f"_{name}_keeper", None)
    if known is not None:
        known[...] = keep
    else:
        module.register_buffer(f"{name}_mask", Tensor(np.ascontiguousarray(keep, bool)))
    if keeper is None or keeper.parameter is not getattr(module, name):  # the module may hold another parameter now
        if keeper is not None:
            keeper.stop()
        keeper = Keeper(getattr(module, name), getattr(module, f"{name}_mask"))
        setattr(module, f"_{name}_keeper", keeper)
    keeper.clear()


def drop_mask(module: Module, name: str = "weight") -> None:
    """Forget a mask; the zeros stay."""
    getattr(module, f"_{name}_keeper").stop()
    delattr(module, f"_{name}_keeper")
    delattr(module, f"{name}_mask")
    if module._buffers == type(module)._buffers:
        del module._buffers  # the module's own table of buffers is that of its class again


def add_masks(model: Module, targets: Targets = None) -> None:
    """Give layers masks that prune nothing yet, so that a file or checkpoint of a pruned model can be loaded.

    `targets` names layers; unless given, all that `prune` prunes. Masks that are there stay. Raises as `prune` does.

    >>> from tinytorch.compression import prune
    >>> from tinytorch.layers import Linear
    >>> pruned, fresh = Linear(4, 4), Linear(4, 4)
    >>> _ = prune(pruned, 0.5)
    >>> add_masks(fresh)
    >>> _ = fresh.load_state_dict(pruned.state_dict())
    >>> sparsity(fresh)
    {'': 0.5}
    """
    for module in once(find("add_masks", model, targets, has_matrix, has_table)).values():
        if mask_of(module) is None:
            set_mask(module, np.ones(module.weight.shape, bool))  # type: ignore[attr-defined]


def masks(model: Module) -> dict[str, Array]:
    """The masks by the dotted names of their parameters, shared with the model: true where a number stays.

    >>> from tinytorch.compression import prune
    >>> from tinytorch.layers import Linear
    >>> layer = Linear(4, 4)
    >>> _ = prune(layer, 0.25)
    >>> {name: int(mask.sum()) for name, mask in masks(layer).items()}
    {'weight': 12}
    """
    return {
        f"{name}.{parameter}" if name else parameter: mask
        for name, module in model.named_modules()
        for parameter, _ in module.named_parameters(recurse=False)
        if (mask := mask_of(module, parameter)) is not None
    }


def sparsity(model: Module) -> dict[str, float]:
    """The pruned share of each layer that has a mask, by its name."""
    return {name.rpartition(".")[0]: 1 - float(np.mean(mask)) for name, mask in masks(model).items()}


def make_permanent(model: Module) -> None:
    """Forget the masks; the pruned numbers stay zero until they are trained.

    Afterwards parameters, buffers and state dict have the names they had before pruning.

    >>> from tinytorch.compression import prune
    >>> from tinytorch.layers import Linear
    >>> layer = Linear(4, 4)
    >>> _ = prune(layer, 0.25)
    >>> make_permanent(layer)
    >>> list(layer.state_dict()), int((layer.weight.data == 0).sum())
    (['weight', 'bias'], 4)
    """
    for module in model.modules():
        for parameter, _ in module.named_parameters(recurse=False):
            if mask_of(module, parameter) is not None:
                drop_mask(module, parameter)
