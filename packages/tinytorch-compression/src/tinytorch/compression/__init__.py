"""Stage 15: pruning, distillation, low-rank factors and adapters."""

from .errors import CompressionError
from .gradual import GradualPruning
from .magnitude import n_m_prune, prune
from .masks import add_masks, make_permanent, masks, sparsity

__version__ = "0.3.0"

__all__ = [
    "CompressionError", "GradualPruning", "add_masks", "make_permanent", "masks", "n_m_prune", "prune", "sparsity",
]  # fmt: skip
