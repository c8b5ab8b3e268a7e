"""Stage 6: training with live progress, which can be killed and resumed."""

from .callbacks import Callback
from .chart import braille
from .dashboard import Dashboard
from .display import Display, ProgressLine
from .errors import CheckpointError
from .history import History
from .metrics import accuracy
from .run import Run
from .stopping import EarlyStopping
from .trainer import Trainer

__version__ = "0.3.0"

__all__ = [
    "Callback", "CheckpointError", "Dashboard", "Display", "EarlyStopping", "History", "ProgressLine", "Run", "Trainer",
    "accuracy", "braille",
]  # fmt: skip
