"""A trace to look at: as text, as a picture, and as the program it becomes."""

from __future__ import annotations

from typing import Any

from tinytorch.autograd.picture import draw

from .forms import Form
from .graph import Axis, Value
from .planning import Plan
from .programs import Program


class Trace:
    """What a fused function computes: `print` it, save what `draw()` returns as a picture, read its `source`."""

    def __init__(self, form: Form, names: list[str]) -> None:
        self.form, self.names = form, names

    @property
    def source(self) -> str:
        """The Python that Numba compiles."""
        return self.form.forward.source

    @property
    def gradient(self) -> Gradient:
        """The same of the gradients of all floating-point inputs; raises ValueError where there is none."""
        return Gradient(self)

    def __repr__(self) -> str:
        head = f"{self.form.name}({', '.join(self.names)})"
        return _text(head, self.form.plan, dict(zip(self.form.inputs, self.names, strict=True)))

    def draw(self) -> str:
        """The trace as SVG: inputs above, the result below."""
        return _draw(self.form.plan, dict(zip(self.form.inputs, self.names, strict=True)))

    _repr_svg_ = draw


class Gradient:
    """The trace of the gradients, made by running the rules of the primitives under trace."""

    def __init__(self, trace: Trace) -> None:
        wanted = [value.dtype.kind == "f" for value in trace.form.inputs]
        if not any(wanted):
            raise ValueError(f"gradient: no input of {trace.form.name} is floating point")
        self.plan = trace.form.gradient_plan(wanted)
        self.name = f"{trace.form.name}_gradient"
        self.names = dict(zip(self.plan.inputs, [*trace.names, "g"], strict=True))

    @property
    def source(self) -> str:
        """The Python that Numba compiles."""
        return Program(self.plan, f"fused_{self.name}").source

    def __repr__(self) -> str:
        return _text(f"{self.name}({', '.join(self.names.values())})", self.plan, self.names)

    def draw(self) -> str:
        """The trace as SVG: inputs above, the gradients below."""
        return _draw(self.plan, self.names)

    _repr_svg_ = draw


def _call(value: Value, names: dict[Value, str], axes: dict[Axis, str]) -> str:
    """How a value is computed, as a call."""
    inputs = [names[each] if isinstance(each, Value) else f"{each:.6g}" for each in value.inputs]
    over = [axes[axis.find()] for axis in value.over]
    return f"{value.operation}({', '.join(inputs)}{' over ' if over and inputs else ''}{', '.join(over)})"


def _shape(value: Value, axes: dict[Axis, str]) -> str:
    return f"{value.dtype} ({', '.join('1' if axis is None else axes[axis.find()] for axis in value.dims)})"


def _name_axes(plan: Plan) -> dict[Axis, str]:
    """Letters, in the order of the axes."""
    axes = [axis for group in plan.groups for axis in group]
    return {axis: chr(ord("a") + number) if number < 26 else f"a{number}" for number, axis in enumerate(axes)}


def _text(head: str, plan: Plan, inputs: dict[Value, str]) -> str:
    axes = _name_axes(plan)
    order = {value: number for number, value in enumerate([*plan.inputs, *(v for v in plan.values if v not in inputs)])}
    names = {value: inputs.get(value, f"v{number}") for value, number in order.items()}
    rows = [
        (name if value in inputs else f"{name} = {_call(value, names, axes)}", _shape(value, axes))
        for value, name in names.items()
    ]
    width = max(len(left) for left, _ in rows)
    passes = [
        f"({', '.join(axes[axis] for group in plan.groups if group[0] in sweep.over for axis in group)})"
        for sweep in plan.sweeps
    ]
    kind = "one pass" if len(passes) == 1 else f"{len(passes)} passes"
    lines = [f"{head}: {kind} over {', then '.join(passes)}"]
    lines += [f"  {left:<{width}}    {right}" for left, right in rows]
    return "\n".join([*lines, f"  return {', '.join(names[value] for value in plan.outputs)}"])


def _draw(plan: Plan, inputs: dict[Value, str]) -> str:
    axes = _name_axes(plan)
    vertices = sorted({*plan.values, *plan.inputs}, key=lambda value: -value.number)
    used = {source for value in plan.values for source in value.values}
    vertices = [value for value in vertices if value in used or value in plan.outputs]

    def label(value: Any) -> str:
        numbers = [f"{each:.4g}" for each in value.inputs if not isinstance(each, Value)]
        name = inputs.get(value, " ".join([value.operation, *numbers]))
        return f"{name} {_shape(value, axes).split(' ', 1)[1]}"

    def kind(value: Any) -> str:
        return "leaf" if value in inputs else "constant" if value.operation in ("constant", "count") else "op"

    return draw(vertices, {value: value.values for value in vertices}, label, kind)
