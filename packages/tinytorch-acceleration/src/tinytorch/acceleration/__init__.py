"""Stage 13: compiled kernels for what the earlier stages compute, forward and backward, on all cores."""

from .compiling import Compiled, cache_folder, compiled
from .errors import AccelerationError
from .fusing import Fused, Trace, fuse
from .reporting import Count, Report, report, reset_report
from .serving import Unserved, serves, serves_gradient, serves_module, serves_update
from .switch import accelerating, disable_acceleration, enable_acceleration, is_accelerated, on_enable
from .team import share, usable_cores

__version__ = "0.3.0"

__all__ = [
    "AccelerationError", "Compiled", "Count", "Fused", "Report", "Trace", "Unserved", "accelerating", "cache_folder",
    "compiled", "disable_acceleration", "enable_acceleration", "fuse", "is_accelerated", "on_enable", "report",
    "reset_report", "serves", "serves_gradient", "serves_module", "serves_update", "share", "usable_cores",
]  # fmt: skip
