"""Stage 2: gradients of everything that stage 1 computes. Importing this changes nothing; `enable_autograd()` does."""

from typing import TYPE_CHECKING, Any

from .anomaly import detect_anomaly
from .drawing import Graph, draw_graph
from .errors import GraphError
from .gradcheck import gradcheck, gradgradcheck
from .gradients import backward, grad
from .hooks import HookHandle, register_hook
from .modes import enable_grad, no_grad
from .observing import Observer, Step, observe_backward
from .recording import Node, is_grad_enabled
from .registry import Rule, defconst, defrefused, defvjp, refusals, rules
from .switch import disable_autograd, enable_autograd
from .vjps.elementwise import select

__version__ = "0.3.0"

__all__ = [
    "Graph", "GraphError", "HookHandle", "Node", "Observer", "Rule", "Step", "backward", "defconst", "defrefused",
    "defvjp", "detect_anomaly", "disable_autograd", "draw_graph", "enable_autograd", "enable_grad", "grad", "gradcheck",
    "gradgradcheck", "is_grad_enabled", "no_grad", "observe_backward", "refusals", "register_hook", "rules", "select",
]  # fmt: skip

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name in ("inference_mode", "set_grad_enabled"):
            raise ImportError(f"tinytorch.autograd has no {name}; write `with no_grad():` or `with enable_grad():`")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
