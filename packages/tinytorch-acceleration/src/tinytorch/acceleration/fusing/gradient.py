"""The gradient of a trace: the rules of its primitives run on stand-ins, from the result to the inputs."""

from __future__ import annotations

from typing import Any

from tinytorch.autograd.fitting import sum_to
from tinytorch.autograd.registry import rule_of

from .graph import Axis, Refusal, Value, closure, primes
from .tracing import Traced, Tracer


def differentiate(
    tracer: Tracer, axes: list[Axis], inputs: list[Value], out: Value, wanted: list[bool]
) -> tuple[Value, dict[Value, Value]]:
    """The value that stands for the gradient of `out`, and the gradients of the inputs that are `wanted`, by input.

    An input that `out` does not depend on has none.
    """
    sizes = dict(zip(axes, primes(len(axes)), strict=True))
    forward = closure([out])
    with tracer.rules(sizes):
        stand_ins = {value: tracer.stand_in(value, _shape(value, sizes)) for value in forward}
        for value in inputs:
            stand_ins.setdefault(value, tracer.stand_in(value, _shape(value, sizes)))
        seed = Value("input", (), out.dims, out.dtype, tracer.next_number(), name="gradient")
        found: dict[Value, Any] = {out: tracer.stand_in(seed, _shape(out, sizes))}
        needed = {value for value, want in zip(inputs, wanted, strict=True) if want}
        for value in forward:
            if _leads(value, needed):
                needed.add(value)
        for value in reversed(forward):
            g = found.get(value)
            if g is None or value.operation == "input":
                continue
            for source, gradient in _through(value, g, needed, stand_ins):
                fit = sum_to(gradient, stand_ins[source])
                found[source] = fit if source not in found else found[source] + fit
        asked = [value for value, want in zip(inputs, wanted, strict=True) if want]
        return seed, {value: found[value].value for value in asked if value in found}


def _shape(value: Value, sizes: dict[Axis, int]) -> tuple[int, ...]:
    return tuple(1 if axis is None else sizes[axis.find()] for axis in value.dims)


def _ruled(value: Value) -> tuple[Any, ...]:
    return value.inputs if value.ruled is None else value.ruled


def _leads(value: Value, needed: set[Value]) -> bool:
    """Whether a gradient passes through `value` to what needs one."""
    if value.primitive is None or value.dtype.kind != "f":
        return False
    return any(isinstance(each, Value) and each in needed for each in _ruled(value))


def _through(value: Value, g: Traced, needed: set[Value], stand_ins: dict[Value, Traced]) -> list[tuple[Value, Traced]]:
    """The inputs of a value with the gradients that its rule gives them."""
    inputs = _ruled(value)
    if value not in needed:
        return []
    needs = [isinstance(each, Value) and each in needed for each in inputs]
    given = [stand_ins[each] if isinstance(each, Value) else each for each in inputs]
    if value.rule is not None:
        gradients = [value.rule(g, stand_ins[value], *given)]
    else:
        assert value.primitive is not None
        rule = rule_of(value.primitive)
        if rule.reason:
            return []
        if rule.fused is not None:
            raise Refusal(f"the gradient of {value.primitive.name} is written on arrays")
        gradients = list(rule(g, stand_ins[value], None, needs, given, value.params))
    return [
        (source, gradient)
        for source, gradient, need in zip(inputs, gradients, needs, strict=True)
        if need and gradient is not None
    ]
