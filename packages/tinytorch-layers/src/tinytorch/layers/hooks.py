"""Functions called around a module's forward."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tinytorch.autograd import HookHandle

if TYPE_CHECKING:
    from .module import Module

Args = tuple[Any, ...]
Kwargs = dict[str, Any]
PreHook = Callable[["Module", Args, Kwargs], tuple[Args, Kwargs] | None]
PostHook = Callable[["Module", Args, Kwargs, Any], Any]


class Hooks:
    """The hooks of one module, called in the order they were registered."""

    def __init__(self, module: Module) -> None:
        self._module = module
        self._before: dict[object, PreHook] = {}
        self._after: dict[object, tuple[PostHook, bool]] = {}  # and whether it is called after an error too

    def before(self, hook: PreHook) -> HookHandle:
        return self._add(self._before, hook, hook)

    def after(self, hook: PostHook, always_call: bool = False) -> HookHandle:
        return self._add(self._after, hook, (hook, always_call))

    def _add(self, hooks: dict[object, Any], hook: Any, entry: Any) -> HookHandle:
        if not callable(hook):
            raise TypeError(f"hook: got a {type(hook).__name__}; it must be callable")
        key = object()
        hooks[key] = entry

        def remove() -> None:
            hooks.pop(key, None)
            if not self._before and not self._after and self._module._hooks is self:
                self._module._hooks = None

        return HookHandle(remove)

    def call(self, module: Module, args: Args, kwargs: Kwargs) -> Any:
        try:
            for before in list(self._before.values()):
                args, kwargs = _changed_arguments(module, before(module, args, kwargs), args, kwargs)
            output = module.forward(*args, **kwargs)
        except BaseException:
            for after, always in list(self._after.values()):
                if always:
                    after(module, args, kwargs, None)
            raise
        for after, _ in list(self._after.values()):
            instead = after(module, args, kwargs, output)
            if instead is not None:
                output = instead
        return output


def _changed_arguments(module: Module, changed: Any, args: Args, kwargs: Kwargs) -> tuple[Args, Kwargs]:
    match changed:
        case None:
            return args, kwargs
        case (tuple() as args, dict() as kwargs):
            return args, kwargs
    raise TypeError(
        f"{type(module).__name__}: a pre-hook returned a {type(changed).__name__}; it must return None, or the "
        "tuple of arguments and the dict of keyword arguments for forward"
    )
