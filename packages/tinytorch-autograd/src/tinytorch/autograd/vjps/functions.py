"""The elementary functions: powers of e, logarithms, angles and their inverses."""

from __future__ import annotations

import math

import numpy as np

import tinytorch.tensor as tt

from ..registry import defvjp

defvjp(tt.square, lambda g, out, x: g * (2 * x), keep=("inputs",))
defvjp(tt.sqrt, lambda g, out, x: g * 0.5 / out, keep=("out",))
defvjp(tt.exp, lambda g, out, x: g * out, keep=("out",))
defvjp(tt.expm1, lambda g, out, x: g * (out + 1), keep=("out",))
defvjp(tt.log, lambda g, out, x: g / x, keep=("inputs",))
defvjp(tt.log1p, lambda g, out, x: g / (1 + x), keep=("inputs",))
defvjp(tt.log2, lambda g, out, x: g / (x * math.log(2)), keep=("inputs",))
defvjp(tt.log10, lambda g, out, x: g / (x * math.log(10)), keep=("inputs",))
defvjp(tt.sin, lambda g, out, x: g * np.cos(x), keep=("inputs",))
defvjp(tt.cos, lambda g, out, x: -g * np.sin(x), keep=("inputs",))
defvjp(tt.tan, lambda g, out, x: g * (1 + out * out), keep=("out",))
defvjp(tt.arcsin, lambda g, out, x: g / np.sqrt((1 - x) * (1 + x)), keep=("inputs",))
defvjp(tt.arccos, lambda g, out, x: -g / np.sqrt((1 - x) * (1 + x)), keep=("inputs",))
defvjp(tt.arctan, lambda g, out, x: g / (1 + x * x), keep=("inputs",))
defvjp(tt.sinh, lambda g, out, x: g * np.cosh(x), keep=("inputs",))
defvjp(tt.cosh, lambda g, out, x: g * np.sinh(x), keep=("inputs",))
defvjp(tt.tanh, lambda g, out, x: g * (1 - out * out), keep=("out",))
