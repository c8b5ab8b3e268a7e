"""Stage 4: optimizers, learning-rate schedules and gradient clipping."""

from .adam import Adam, AdamW
from .chained import ChainedOptimizer
from .clipping import clip_grad_norm, clip_grad_value
from .lion import Lion
from .muon import Muon, orthogonalize
from .observing import observe_updates
from .optimizer import Optimizer
from .rmsprop import RMSprop
from .schedules import CosineSchedule, OneCycleSchedule, Schedule, StepSchedule, WarmupSchedule
from .sgd import SGD

__version__ = "0.3.0"

__all__ = [
    "SGD", "Adam", "AdamW", "ChainedOptimizer", "CosineSchedule", "Lion", "Muon", "OneCycleSchedule", "Optimizer",
    "RMSprop", "Schedule", "StepSchedule", "WarmupSchedule", "clip_grad_norm", "clip_grad_value", "observe_updates",
    "orthogonalize",
]  # fmt: skip
