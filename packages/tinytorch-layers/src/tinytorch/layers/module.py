"""`Module`: a part of a network. Its parameters, buffers and submodules are ordinary attributes, found on request."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self, TypeVar

import numpy as np
import numpy.typing as npt

from tinytorch.autograd import HookHandle
from tinytorch.tensor import Tensor
from tinytorch.tensor.tensor import rebind
from tinytorch.tensor.words import refuse_words

from . import state, tree
from .changes import count_change
from .hidden import refuse_hidden
from .hooks import Hooks, PostHook, PreHook
from .parameter import Parameter

M = TypeVar("M", bound="Module")
T = TypeVar("T", bound=Tensor)


class Module:
    """A part of a network. Subclasses set parameters and submodules as attributes and define `forward`.

    >>> class Scale(Module):
    ...     def __init__(self):
    ...         self.factor = Parameter([2.0])
    ...     def forward(self, x):
    ...         return x * self.factor
    >>> Scale()(Tensor([3.0])).data
    array([6.], dtype=float32)
    """

    training: bool = True
    _buffers: dict[str, bool] = {}  # noqa: RUF012  name -> whether state_dict has it; replaced, never changed
    _hooks: Hooks | None = None  # None while there are no hooks, so that a call tests one thing

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        refuse_words(cls, kwargs)
        return super().__new__(cls)

    def __init__(self) -> None:
        super().__init__()  # so that a module without arguments refuses them

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes. Defined by each subclass."""
        raise NotImplementedError(f"{type(self).__name__} has no forward; define forward(self, ...) in the class")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._hooks is None:
            return self.forward(*args, **kwargs)
        return self._hooks.call(self, args, kwargs)

    def __setattr__(self, name: str, value: Any) -> None:
        was = self.__dict__.get(name)
        if isinstance(was, Parameter) and not (value is None or isinstance(value, Parameter)):
            what = f"{type(self).__name__}.{name} is a parameter and a {type(value).__name__} is not"
            raise TypeError(f"{what}; assign Parameter(...) or None, or change its values through .{name}.data")
        if name in self._buffers:
            if isinstance(value, Parameter):
                self._forget_buffer(name)
            elif not (value is None or isinstance(value, Tensor)):
                what = f"{type(self).__name__}.{name} is a buffer and a {type(value).__name__} is not"
                raise TypeError(f"{what}; assign Tensor(...) or None")
        count_change()
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        count_change()
        object.__delattr__(self, name)
        if name in self._buffers:
            self._forget_buffer(name)

    def _forget_buffer(self, name: str) -> None:
        self._buffers = {buffer: persistent for buffer, persistent in self._buffers.items() if buffer != name}

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Set a tensor that belongs to the module and is not learned; `persistent` ones are part of `state_dict()`.

        Raises KeyError for a name that is taken or has a dot, TypeError for what is not a tensor, or is a parameter.
        """
        if isinstance(tensor, Parameter):
            raise TypeError(f"register_buffer: {name!r} is a Parameter; it must be a plain Tensor or None")
        self._check("register_buffer", name, tensor, Tensor, replaced=())
        self._buffers = {**self._buffers, name: persistent}
        setattr(self, name, tensor)

    def register_parameter(self, name: str, parameter: Parameter | None) -> None:
        """Set an attribute whose name is computed. Raises as `register_buffer` does."""
        self._check("register_parameter", name, parameter, Parameter, replaced=Parameter)
        setattr(self, name, parameter)

    def add_module(self, name: str, module: Module | None) -> None:
        """Set an attribute whose name is computed. Raises as `register_buffer` does."""
        self._check("add_module", name, module, Module, replaced=Module)
        setattr(self, name, module)

    def _check(self, function: str, name: str, value: Any, kind: type, replaced: type | tuple[()]) -> None:
        if value is not None and not isinstance(value, kind):
            raise TypeError(f"{function}: {name!r} is a {type(value).__name__}; it must be a {kind.__name__} or None")
        if not isinstance(name, str):
            raise TypeError(f"{function}: the name {name!r} is a {type(name).__name__}; it must be text")
        there = getattr(self, name, None)
        taken = there is not None and name not in self._buffers and not isinstance(there, replaced)
        if taken or not name or "." in name:
            raise KeyError(f"{function}: {name!r} is taken or has a dot; choose another name")

    # Looking through the attributes

    def named_children(self) -> list[tuple[str, Module]]:
        """The submodules that are attributes of this one, by name."""
        return [(name, value) for name, value in self.__dict__.items() if isinstance(value, Module)]

    def children(self) -> list[Module]:
        """The submodules that are attributes of this one."""
        return [module for _, module in self.named_children()]

    def named_modules(self, prefix: str = "", remove_duplicate: bool = True) -> list[tuple[str, Module]]:
        """This module and all below it, by dotted name; each once, unless `remove_duplicate` is false."""
        return list(self._walk(prefix, set(), remove_duplicate))

    def _walk(self, prefix: str, seen: set[int], once: bool) -> Iterator[tuple[str, Module]]:
        """`seen` are the modules before this one; or, unless each comes `once` only, those that this one is part of."""
        if id(self) in seen:
            if once:
                return
            raise ValueError(f"{prefix} is a module that it is itself a part of; keep the whole in a function instead")
        yield prefix, self
        seen.add(id(self))
        for name, child in self.named_children():
            yield from child._walk(f"{prefix}.{name}" if prefix else name, seen, once)
        if not once:
            seen.remove(id(self))

    def modules(self) -> list[Module]:
        """This module and all below it, each once."""
        return [module for _, module in self.named_modules()]

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> list[tuple[str, Parameter]]:
        """The parameters of this module and, with `recurse`, of all below it, by dotted name.

        A shared one comes once, under its first name, unless `remove_duplicate` is false. Raises TypeError for a list,
        tuple or dict of modules or parameters that are found nowhere else: they would never be learned.
        """
        modules = self._listed(prefix, recurse, remove_duplicate)
        if recurse:
            refuse_hidden([module for _, module in modules], (Module, Parameter))
        return _named(modules, _own_parameters, remove_duplicate)

    def parameters(self, recurse: bool = True) -> list[Parameter]:
        """The parameters of this module and, with `recurse`, of all below it, each once."""
        return [parameter for _, parameter in self.named_parameters(recurse=recurse)]

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> list[tuple[str, Tensor]]:
        """The buffers of this module and, with `recurse`, of all below it, by dotted name."""
        return _named(self._listed(prefix, recurse, remove_duplicate), _own_buffers, remove_duplicate)

    def buffers(self, recurse: bool = True) -> list[Tensor]:
        """The buffers of this module and, with `recurse`, of all below it, each once."""
        return [buffer for _, buffer in self.named_buffers(recurse=recurse)]

    def _listed(self, prefix: str, recurse: bool, remove_duplicate: bool) -> list[tuple[str, Module]]:
        return self.named_modules(prefix, remove_duplicate) if recurse else [(prefix, self)]

    def num_parameters(self, trainable: bool = False) -> int:
        """How many numbers the parameters hold; with `trainable`, those that require gradients."""
        return sum(p.size for p in self.parameters() if p.requires_grad or not trainable)

    @property
    def nbytes(self) -> int:
        """How many bytes the parameters and buffers here and below take, each once."""
        return sum(tensor.nbytes for tensor in (*self.parameters(), *self.buffers()))

    def get_submodule(self, name: str) -> Module:
        """The module of a dotted name (`"blocks.0.attention"`; `""` is this one). Raises AttributeError for none."""
        module = self
        for done, part in enumerate(name.split(".") if name else ()):
            child = module.__dict__.get(part)
            if not isinstance(child, Module):
                where = ".".join(name.split(".")[:done]) or type(self).__name__
                known = ", ".join(child_name for child_name, _ in module.named_children()) or "none"
                raise AttributeError(f"get_submodule: {where} has no submodule {part!r}; it has {known}")
            module = child
        return module

    def get_parameter(self, name: str) -> Parameter:
        """The parameter of a dotted name. Raises AttributeError if there is none."""
        return self._get("get_parameter", name, _own_parameters)

    def get_buffer(self, name: str) -> Tensor:
        """The buffer of a dotted name. Raises AttributeError if there is none."""
        return self._get("get_buffer", name, _own_buffers)

    def _get(self, function: str, name: str, own: Callable[[Module], list[tuple[str, T]]]) -> T:
        owner, _, last = name.rpartition(".")
        found = dict(own(self.get_submodule(owner)))
        if last not in found:
            known = ", ".join(found) or "none"
            raise AttributeError(f"{function}: {owner or type(self).__name__} has no {last!r}; it has {known}")
        return found[last]

    def set_submodule(self, name: str, module: Module) -> None:
        """Replace the submodule of a dotted name. Raises AttributeError when there is none of that name."""
        if not isinstance(module, Module):
            raise TypeError(f"set_submodule: {name!r} would be a {type(module).__name__}; it must be a Module")
        self.get_submodule(name)
        parent, _, last = name.rpartition(".")
        if not last:
            raise AttributeError("set_submodule: the name is empty; a module cannot replace itself")
        setattr(self.get_submodule(parent), last, module)

    # State

    def state_dict(self) -> dict[str, Tensor]:
        """Every parameter and persistent buffer by dotted name, sharing memory with the module.

        A shared parameter has an entry under each of its names. `Linear.weight` is (in_features, out_features).
        """
        return {name: Tensor(tensor.data, tensor.dtype) for name, tensor in self._entries().items()}

    def load_state_dict(self, values: Mapping[str, Any], strict: bool = True) -> state.Mismatch:
        """Copy values (tensors or arrays, by dotted name) into the parameters and persistent buffers.

        Nothing is changed unless everything fits. Raises StateError that lists all missing and unexpected names
        (unless `strict` is false, when they are returned), wrong shapes, and dtypes that would lose precision.
        """
        return state.load(type(self).__name__, self._entries(), values, strict)

    def _entries(self) -> dict[str, Tensor]:
        """The module's own parameters and persistent buffers, under every name they have."""
        found: dict[str, Tensor] = dict(self.named_parameters(remove_duplicate=False))
        found.update(_named(self.named_modules(remove_duplicate=False), _persistent_buffers, once=False))
        return found

    def train(self: M, mode: bool = True) -> M:
        """Set `training` here and below: dropout drops while it is true. Raises TypeError unless `mode` is a bool."""
        if not isinstance(mode, bool | np.bool_):
            raise TypeError(f"train: mode is {mode!r}, a {type(mode).__name__}; it must be True or False")
        for module in self.modules():
            module.training = bool(mode)
        return self

    def eval(self: M) -> M:
        """Set `training` to false here and below."""
        return self.train(False)

    def requires_grad_(self: M, requires_grad: bool = True) -> M:
        """Set whether the parameters here and below are learned. Raises TypeError for one of integers."""
        parameters = dict(self.named_parameters())
        for name, parameter in parameters.items():
            if requires_grad and parameter.dtype.kind != "f":
                raise TypeError(f"requires_grad_: {name} is {parameter.dtype}; only floating-point ones can be learned")
        for parameter in parameters.values():
            parameter.requires_grad = requires_grad
        return self

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for parameter in self.parameters():
            parameter.grad = None

    def astype(self: M, dtype: npt.DTypeLike) -> M:
        """Convert every floating-point parameter and buffer, in place; gradients are converted too.

        Raises TypeError for a dtype that is not floating point.
        """
        wanted = np.dtype(dtype)
        if dtype is None or wanted.kind != "f":
            raise TypeError(f"astype: parameters of dtype {dtype} cannot be learned; use float32 or float64")
        for tensor in (*self.parameters(), *self.buffers()):
            if tensor.dtype.kind == "f":
                rebind(tensor, Tensor(tensor.data, wanted).data)
                if tensor.grad is not None:
                    tensor.grad = tensor.grad.astype(wanted)
        return self

    def apply(self: M, function: Callable[[Module], Any]) -> M:
        """Call `function(module)` for every module below and for this one, each once, parts before the whole."""
        done: set[int] = set()

        def visit(module: Module) -> None:
            if id(module) not in done:
                done.add(id(module))
                for child in module.children():
                    visit(child)
                function(module)

        visit(self)
        return self

    # Hooks and text

    def register_forward_pre_hook(self, hook: PreHook) -> HookHandle:
        """Call `hook(module, args, kwargs)` before each forward; it may return other (args, kwargs)."""
        return self._hooked().before(hook)

    def register_forward_hook(self, hook: PostHook, always_call: bool = False) -> HookHandle:
        """Call `hook(module, args, kwargs, output)` after each forward; what it returns, unless None, is the output.

        With `always_call` it is also called, with None for the output, when forward raises; the error passes on.
        """
        return self._hooked().after(hook, always_call)

    def _hooked(self) -> Hooks:
        if self._hooks is None:
            self._hooks = Hooks(self)
        return self._hooks

    def extra_repr(self) -> str:
        """The text between the parentheses of `repr`: the sizes that the module was made with."""
        return ""

    def __repr__(self) -> str:
        return tree.draw(self)


def _own_parameters(module: Module) -> list[tuple[str, Parameter]]:
    return [(name, value) for name, value in module.__dict__.items() if isinstance(value, Parameter)]


def _own_buffers(module: Module) -> list[tuple[str, Tensor]]:
    found = ((name, module.__dict__.get(name)) for name in module._buffers)
    return [(name, value) for name, value in found if value is not None]


def _persistent_buffers(module: Module) -> list[tuple[str, Tensor]]:
    return [(name, value) for name, value in _own_buffers(module) if module._buffers[name]]


def _named(
    modules: list[tuple[str, Module]], own: Callable[[Module], list[tuple[str, T]]], once: bool
) -> list[tuple[str, T]]:
    seen: set[int] = set()
    found = []
    for prefix, module in modules:
        for name, tensor in own(module):
            if not once or id(tensor) not in seen:
                seen.add(id(tensor))
                found.append((f"{prefix}.{name}" if prefix else name, tensor))
    return found
