"""The page of primitives: what every stage declares, and how gradients pass back through it, from the registries."""

import importlib
import inspect
from html import escape

import numpy as np

from tinytorch.autograd import refusals, rules
from tinytorch.tensor import Primitive, registry


def declared(stage: str) -> list[Primitive]:
    """The primitives of a stage, in the order in which it declares them."""
    importlib.import_module(f"tinytorch.{stage}")
    return [primitive for primitive in registry.values() if primitive.__module__.startswith(f"tinytorch.{stage}.")]


def signature(primitive: Primitive) -> str:
    """How it is declared: inputs before the slash, parameters with their defaults after it."""
    if isinstance(primitive.forward, np.ufunc):
        return f"{primitive.name}({', '.join(primitive.inputs)}, /)"
    parameters = inspect.signature(primitive.forward).parameters.values()
    bare = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in parameters]
    return f"{primitive.name}{inspect.Signature(bare)}"


def linked(primitive: Primitive) -> str:
    """Its signature, which leads to the reference where that has it."""
    name = f"{primitive.__module__}.{primitive.name}"
    return f'<autoref optional identifier="{name}"><code>{escape(signature(primitive))}</code></autoref>'


def gradient(primitive: Primitive) -> str:
    """How a gradient passes back through it, or why none does; empty when nobody has said."""
    if primitive in refusals:
        return f"refused: {refusals[primitive]}"
    if primitive not in rules:
        return ""
    rule = rules[primitive]
    if rule.reason:
        return f"none: {rule.reason}"
    if rule.fused:
        return "fused, with its composition"
    if rule.jointly:
        return "one rule for all inputs"
    ruled = [name for name, vjp in zip(primitive.inputs, rule.vjps, strict=True) if vjp]
    return "a rule for " + ", ".join(f"`{name}`" for name in ruled)


def page(stages: list[str]) -> str:
    lines = [
        "# Primitives",
        "",
        "Every operation that goes through dispatch, by the stage that declares it. Inputs stand before the slash;",
        "gradients pass back through them by a rule, or by the backward of a fused primitive, whose composition is",
        "what the fast version is compared with and what second derivatives go through.",
    ]
    for stage in stages:
        rows = [
            f"| {linked(primitive)} | {summary(primitive)} | {gradient(primitive)} |" for primitive in declared(stage)
        ]
        if rows:
            lines += ["", f"## {stage}", "", "| primitive | what it computes | gradient |", "|---|---|---|", *rows]
    return "\n".join(lines) + "\n"


def summary(primitive: Primitive) -> str:
    """The first line of its docstring, as it stands in a cell of a table."""
    return inspect.cleandoc(primitive.__doc__ or "").split("\n")[0].replace("|", "\\|")
