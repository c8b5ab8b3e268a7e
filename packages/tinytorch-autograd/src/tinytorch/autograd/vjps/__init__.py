"""The rules of every primitive of the tensor stage, by family."""

from . import elementwise, indexing, products, reductions, shaping

__all__ = ["elementwise", "indexing", "products", "reductions", "shaping"]
