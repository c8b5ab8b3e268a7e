"""The rules of every primitive of the tensor stage, by family."""

from . import elementwise, functions, indexing, products, reductions, running, shaping

__all__ = ["elementwise", "functions", "indexing", "products", "reductions", "running", "shaping"]
