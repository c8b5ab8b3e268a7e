"""The rule of every primitive: how a gradient passes back through it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tinytorch.tensor import Primitive, Tensor

Gradient = Any  # an array, or a tensor when the gradients are differentiated themselves
Vjp = Callable[..., Gradient]


@dataclass(eq=False, slots=True)
class Rule:
    """What is known of a primitive's gradient: a function per input, one for all, a fused one; or why there is none."""

    vjps: tuple[Vjp | None, ...] = ()
    jointly: Vjp | None = None
    fused: Vjp | None = None
    composition: Callable[..., Tensor] | None = None
    reason: str = ""
    keeps_inputs: bool = False
    keeps_out: bool = False
    reads_params: bool = False
    new: bool = False

    def __call__(
        self, g: Gradient, out: Any, saved: Any, needs: Sequence[bool], inputs: Sequence[Any], params: dict[str, Any]
    ) -> Sequence[Gradient]:
        """The gradients of all inputs; `g` and they are arrays, or tensors."""
        if self.fused is not None:
            return self.fused(g, out, saved, needs, *inputs, **params)
        if self.jointly is not None:
            return self.jointly(g, out, *inputs, **params)
        return [
            vjp(g, out, *inputs, **params) if needed and vjp is not None else None
            for vjp, needed in zip(self.vjps, needs, strict=True)
        ]


rules: dict[Primitive, Rule] = {}
"""How gradients pass back through each primitive, as `defvjp` and `defconst` entered it."""

refusals: dict[Primitive, str] = {}
"""Primitives that are not differentiated on purpose, and why, as `defrefused` entered them."""


def defvjp(
    primitive: Primitive,
    *vjps: Vjp | None,
    jointly: Vjp | None = None,
    fused: Vjp | None = None,
    composition: Callable[..., Tensor] | None = None,
    keep: tuple[str, ...] = ("inputs", "out"),
    new: bool = False,
) -> None:
    """Say how gradients pass back through `primitive`. Exactly one of three forms:

    - one function per input, `vjp(g, out, *inputs, **params)`: the gradient of that input, given the gradient `g` of
      the output; None for an input that has none. Axes that the forward broadcast are summed away afterwards.
    - `jointly(g, out, *inputs, **params)`: the gradients of all inputs at once, where their number varies.
    - `fused(g, out, saved, needs, *inputs, **params)`: the gradients of all inputs of a fused primitive, None where
      `needs` is false; with `composition(*inputs, **params)`, the same result made of simple primitives, which is the
      definition to read and what second derivatives go through.

    The first two are written with operators and NumPy functions, so that they run on arrays (fast) and on tensors (so
    that the gradient can be differentiated again).

    `keep` names the values that the rule reads. Others need not stay in memory until the backward pass, and may be
    written to before it. `"params"` stands for tensors and arrays among the parameters, such as an index.
    Without `"inputs"` an input may be a stand-in that has a `shape` and a `dtype`, and without `"out"` the output is.
    The rule of a primitive with `upcast` gets float16 arrays in float32.

    A fused rule returns new arrays, which share memory with nothing: not with `g`, the inputs, the output, `saved`,
    each other, or what the rule keeps; other gradients are added to them in place. Any other rule may return `g`, a
    view of it, or one array twice, unless `new=True` promises the same of it.

    Source: the registration form is that of HIPS autograd.

    >>> from tinytorch.tensor import primitive
    >>> @primitive
    ... def cube(x, /):
    ...     return x * x * x
    >>> defvjp(cube, lambda g, out, x: g * 3 * x * x)
    """
    is_fused, n, inputs = fused is not None, len(vjps), primitive.inputs
    problems = {
        "give one function per input, or jointly=, or fused=": (n > 0) + (jointly is not None) + is_fused != 1,
        f"{n} functions were given for the inputs {inputs}": n not in (0, len(inputs)),
        "fused= is for fused primitives, and needed there": is_fused != primitive.fused,
        "fused= and composition= need each other": is_fused != (composition is not None),
        f"keep={keep}; it names 'inputs', 'out' and 'params'": not {"inputs", "out", "params"}.issuperset(keep),
        f"keep={keep}; a composition needs the 'inputs'": is_fused and "inputs" not in keep,
    }
    for problem, found in problems.items():
        if found:
            raise ValueError(f"defvjp: {primitive.name}: {problem}")
    kept = ("inputs" in keep, "out" in keep, "params" in keep)
    rules[primitive] = Rule(vjps, jointly, fused, composition, "", *kept, new=new or is_fused)


def defconst(*primitives: Primitive, reason: str) -> None:
    """Say that the output of these primitives carries no gradient, and why (`"a boolean"`).

    >>> from tinytorch.tensor import primitive
    >>> @primitive
    ... def is_even(x, /):
    ...     return x % 2 == 0
    >>> defconst(is_even, reason="a boolean")
    """
    for primitive in primitives:
        rules[primitive] = Rule(reason=reason)


def defrefused(*primitives: Primitive, reason: str) -> None:
    """Say that these primitives are not differentiated on purpose, and why: with gradients they are refused.

    >>> from tinytorch.tensor import primitive
    >>> @primitive
    ... def rank(x, /):
    ...     return x.argsort().argsort()
    >>> defrefused(rank, reason="what it counts has no slope")
    """
    for primitive in primitives:
        refusals[primitive] = reason


def rule_of(primitive: Primitive) -> Rule:
    """The rule of `primitive`. Raises NotImplementedError, by name, when it has none."""
    try:
        return rules[primitive]
    except KeyError:
        why = refusals.get(primitive, "give it one with defvjp")
        raise NotImplementedError(
            f"{primitive.name} has no gradient rule and an input requires gradients: {why}; "
            "or call it on .detach()ed tensors or under no_grad()"
        ) from None
