"""Operations that treat every element alike. Axes that were broadcast are summed away by the engine."""

from __future__ import annotations

from typing import Any

import numpy as np

import tinytorch.tensor as tt

from ..registry import Gradient, defconst, defvjp

defvjp(tt.add, lambda g, out, x, y: g, lambda g, out, x, y: g)
defvjp(tt.subtract, lambda g, out, x, y: g, lambda g, out, x, y: -g)
defvjp(tt.multiply, lambda g, out, x, y: g * y, lambda g, out, x, y: g * x)
defvjp(tt.divide, lambda g, out, x, y: g / y, lambda g, out, x, y: -g * out / y)
defvjp(tt.remainder, lambda g, out, x, y: g, lambda g, out, x, y: -g * np.floor(x / y))


def _power_base(g: Gradient, out: Gradient, x: Any, y: Any) -> Gradient:
    if type(y) in (int, float):
        return g * (y * x ** (y - 1)) if y != 2 else g * (2 * x)
    return g * y * x ** np.where(y == 0, 1.0, y - 1)  # at y = 0 the slope is 0 even where x is 0


def _power_exponent(g: Gradient, out: Gradient, x: Any, y: Any) -> Gradient:
    if type(x) in (int, float):
        return g * out * (float(np.log(x)) if x > 0 else 0.0)
    return g * out * np.log(np.where(x > 0, x, 1.0))  # 0 ** y does not change with y


defvjp(tt.power, _power_base, _power_exponent)


def _larger(g: Gradient, out: Gradient, x: Any, y: Any) -> Gradient:
    """To the larger; equal ones share."""
    return np.where(x == y, g * 0.5, np.where(x > y, g, 0.0))


def _smaller(g: Gradient, out: Gradient, x: Any, y: Any) -> Gradient:
    return np.where(x == y, g * 0.5, np.where(x < y, g, 0.0))


defvjp(tt.maximum, _larger, lambda g, out, x, y: _larger(g, out, y, x))
defvjp(tt.minimum, _smaller, lambda g, out, x, y: _smaller(g, out, y, x))
defvjp(tt.where, None, lambda g, out, c, x, y: np.where(c, g, 0.0), lambda g, out, c, x, y: np.where(c, 0.0, g))


def _clip(g: Gradient, out: Gradient, x: Any, low: float | None = None, high: float | None = None) -> Gradient:
    inside = (x >= (-np.inf if low is None else low)) & (x <= (np.inf if high is None else high))
    return np.where(inside, g, 0.0)


defvjp(tt.clip, _clip)
defvjp(tt.negative, lambda g, out, x: -g)
defvjp(tt.abs, lambda g, out, x: g * np.sign(x))
defvjp(tt.exp, lambda g, out, x: g * out)
defvjp(tt.log, lambda g, out, x: g / x)
defvjp(tt.sqrt, lambda g, out, x: g * 0.5 / out)
defvjp(tt.tanh, lambda g, out, x: g * (1 - out * out))
defvjp(tt.sin, lambda g, out, x: g * np.cos(x))
defvjp(tt.cos, lambda g, out, x: -g * np.sin(x))
defvjp(tt.astype, lambda g, out, x, dtype: g.astype(x.dtype))
defvjp(tt.copy, lambda g, out, x: g)
defvjp(tt.alias, lambda g, out, x: g)

for step in (tt.sign, tt.floor, tt.ceil, tt.round):
    defvjp(step, lambda g, out, x: np.zeros_like(g))
defvjp(tt.floor_divide, lambda g, out, x, y: np.zeros_like(g), lambda g, out, x, y: np.zeros_like(g))

defconst(
    tt.equal, tt.not_equal, tt.less, tt.less_equal, tt.greater, tt.greater_equal, tt.isnan, tt.isfinite,
    tt.bitwise_and, tt.bitwise_or, tt.bitwise_xor, tt.invert,
    reason="the result is boolean or integer",
)  # fmt: skip
