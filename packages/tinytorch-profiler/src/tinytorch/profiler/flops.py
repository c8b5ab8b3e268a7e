"""The registry of FLOP formulas: how much arithmetic a primitive does, from shapes and dtypes alone.

Two kinds of work are counted separately. *Products* are what PyTorch's FlopCounterMode counts: matrix products,
convolutions and attention, a multiply-add as 2, without biases. *Elementwise* work is everything else: each addition,
multiplication, division, power, evaluated function (exp, sqrt, tanh, ...) and each maximum or minimum of two elements
counts 1; comparing, selecting by a condition, converting and moving count 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from tinytorch.tensor import Primitive

Formula = Callable[..., int]
F = TypeVar("F", bound=Formula)


class Arithmetic(NamedTuple):
    """Operations on numbers."""

    products: int = 0
    elementwise: int = 0


# the formulas of the forward and of the backward
_products: dict[Primitive | str, tuple[Formula, Formula | None]] = {}
_elementwise: dict[Primitive | str, tuple[Formula, Formula | None]] = {}


def flops_of(
    primitive: Primitive | str, backward: Formula | None = None, *, elementwise: bool = False
) -> Callable[[F], F]:
    """Register `formula(out, *inputs, **params) -> int` as the number of FLOPs of a primitive's forward.

    `out` and the inputs that are arrays are `Shaped` (`.shape .dtype .ndim .size .nbytes`), other inputs are scalars or
    None. Parameters are what they were, arrays among them as `Shaped`, and other objects as a namespace of their public
    numbers. `backward(needs, out, *inputs, **params)` counts the rule of the gradient, where `needs` says of each
    input whether its gradient was wanted; without it the backward is listed as not counted. A primitive may have a
    formula for products and one for `elementwise` work.

    A primitive is given as an object, or by its name where its stage may not be installed; an optimizer by its name,
    with its options and the number of its `states` as parameters.

    >>> from tinytorch.tensor import primitive
    >>> @primitive
    ... def double(x, /):
    ...     return x * 2
    >>> @flops_of(double, backward=lambda needs, out, x: out.size, elementwise=True)
    ... def _(out, x):
    ...     return out.size
    """

    def register(formula: F) -> F:
        (_elementwise if elementwise else _products)[primitive] = formula, backward
        return formula

    return register


def per_gradient(formula: Formula, *operands: int) -> Formula:
    """The backward of a product: one more such product per needed gradient of the `operands`, given by position."""

    def backward(needs: tuple[bool, ...], out: Any, *inputs: Any, **params: Any) -> int:
        return sum(needs[place] for place in operands) * formula(out, *inputs, **params)

    return backward


def arithmetic(
    operator: Primitive | str, out: Any, inputs: tuple[Any, ...], params: dict[str, Any], needs: tuple[bool, ...] | None
) -> Arithmetic | None:
    """The operations of one call, or of its backward when `needs` is given; None where there is no formula."""
    counts: list[int | None] = []
    for table in (_products, _elementwise):
        name = operator if isinstance(operator, str) else operator.name
        formulas = table.get(operator) or table.get(name) or (None, None)
        formula, first = (formulas[0], (out,)) if needs is None else (formulas[1], (needs, out))
        counts.append(None if formula is None else int(formula(*first, *inputs, **params)))
    return None if counts == [None, None] else Arithmetic(*(count or 0 for count in counts))
