"""What layers compute, as functions. Each file is one operation, or a family, from fast to readable."""

from .blocks import blockwise, row_blocks
from .cross_entropy import cross_entropy, softmax_cross_entropy
from .dropout import dropout, keep
from .embedding import embedding
from .erf import erf
from .gelu import gelu
from .linear import linear
from .nll import nll_loss
from .normalization import layer_norm, rms_norm
from .rectifiers import leaky_relu, relu
from .regression import binary_cross_entropy, binary_cross_entropy_with_logits, huber_loss, l1_loss, mse_loss, softplus
from .sigmoids import sigmoid, silu
from .softmax import log_softmax, softmax

__all__ = [
    "binary_cross_entropy", "binary_cross_entropy_with_logits", "blockwise", "cross_entropy", "dropout", "embedding",
    "erf", "gelu", "huber_loss", "keep", "l1_loss", "layer_norm", "leaky_relu", "linear", "log_softmax", "mse_loss",
    "nll_loss", "relu", "rms_norm", "row_blocks", "sigmoid", "silu", "softmax", "softmax_cross_entropy", "softplus",
]  # fmt: skip
