"""Stage 2: gradients of everything that stage 1 computes. Importing this changes nothing; `enable_autograd()` does."""

from . import rules as _rules
from .anomaly import detect_anomaly
from .engine import HookHandle, backward, grad, register_hook
from .gradcheck import gradcheck, gradgradcheck
from .recording import Node, enable_grad, is_grad_enabled, no_grad
from .registry import Rule, defconst, defvjp, rules
from .switch import disable_autograd, enable_autograd

__version__ = "0.1.0"

__all__ = [
    "HookHandle", "Node", "Rule", "backward", "defconst", "defvjp", "detect_anomaly", "disable_autograd",
    "enable_autograd", "enable_grad", "grad", "gradcheck", "gradgradcheck", "is_grad_enabled", "no_grad", "register_hook",
    "rules",
]  # fmt: skip
