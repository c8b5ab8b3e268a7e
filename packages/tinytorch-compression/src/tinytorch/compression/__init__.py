"""Stage 15: pruning, distillation, low-rank factors and adapters."""

from .adapter_files import LLAMA_NAMES, load_lora, save_lora
from .adapters import add_lora, lora_parameters, merge_lora, remove_lora
from .distil import distil
from .distillation import DistillationLoss
from .errors import AdapterError, CompressionError
from .gradual import GradualPruning
from .lora import LoRALinear
from .lowrank import FactorizedLinear, factorize
from .magnitude import n_m_prune, prune
from .masks import add_masks, make_permanent, masks, sparsity
from .sensitivity import Sensitivity, sensitivity
from .structured import structured_prune

__version__ = "0.3.0"

__all__ = [
    "AdapterError", "CompressionError", "DistillationLoss", "FactorizedLinear", "GradualPruning", "LLAMA_NAMES",
    "LoRALinear", "Sensitivity", "add_lora", "add_masks", "distil", "factorize", "load_lora", "lora_parameters",
    "make_permanent", "masks", "merge_lora", "n_m_prune", "prune", "remove_lora", "save_lora", "sensitivity",
    "sparsity", "structured_prune",
]  # fmt: skip
