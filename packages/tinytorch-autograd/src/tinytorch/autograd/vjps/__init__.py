"""The rules of every primitive of the tensor stage, by family."""

from . import elementwise, indexing, products, reductions, shaping  # noqa: F401
