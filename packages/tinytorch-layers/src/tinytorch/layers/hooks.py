"""Functions called around a module's forward."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .module import Module

Args = tuple[Any, ...]
Kwargs = dict[str, Any]
PreHook = Callable[["Module", Args, Kwargs], tuple[Args, Kwargs] | None]
PostHook = Callable[["Module", Args, Kwargs, Any], Any]


class HookHandle:
    """What registering a hook returns: `remove()` takes the hook away again, once or many times."""

    def __init__(self, remove: Callable[[], None]) -> None:
        self.remove = remove


class Hooks:
    """The hooks of one module, called in the order they were registered."""

    def __init__(self, module: Module) -> None:
        self._module = module
        self._before: dict[object, PreHook] = {}
        self._after: dict[object, PostHook] = {}

    def before(self, hook: PreHook) -> HookHandle:
        return self._add(self._before, hook)

    def after(self, hook: PostHook, always_call: bool = False) -> HookHandle:
        return self._add(self._after, _Always(hook) if always_call else hook)

    def _add(self, hooks: dict[object, Any], hook: Any) -> HookHandle:
        if not callable(hook):
            raise TypeError(f"hook: got a {type(hook).__name__}; it must be callable")
        key = object()
        hooks[key] = hook

        def remove() -> None:
            hooks.pop(key, None)
            if not self._before and not self._after and self._module._hooks is self:
                self._module._hooks = None

        return HookHandle(remove)

    def call(self, module: Module, args: Args, kwargs: Kwargs) -> Any:
        try:
            for before in list(self._before.values()):
                changed = before(module, args, kwargs)
                if changed is not None:
                    args, kwargs = _checked(module, changed)
            output = module.forward(*args, **kwargs)
        except BaseException:
            for after in list(self._after.values()):
                if isinstance(after, _Always):
                    after(module, args, kwargs, None)
            raise
        for after in list(self._after.values()):
            instead = after(module, args, kwargs, output)
            if instead is not None:
                output = instead
        return output


def _checked(module: Module, changed: Any) -> tuple[Args, Kwargs]:
    match changed:
        case (tuple() as args, dict() as kwargs):
            return args, kwargs
    raise TypeError(
        f"{type(module).__name__}: a pre-hook returned a {type(changed).__name__}; it must return None, or the "
        "tuple of arguments and the dict of keyword arguments for forward"
    )


class _Always:
    """A hook that is called whatever happens in forward."""

    def __init__(self, hook: PostHook) -> None:
        self._hook = hook

    def __call__(self, module: Module, args: Args, kwargs: Kwargs, output: Any) -> Any:
        return self._hook(module, args, kwargs, output)
