"""PyTorch's words that people type by habit: there are no aliases, but errors that say what to write here."""

from __future__ import annotations

import functools
import inspect
import re
import sys
from collections.abc import Callable, Iterable
from typing import Any

ARGUMENTS = {
    "dim": "axis", "dims": "axis", "dim0": "d0", "dim1": "d1", "keepdim": "keepdims", "start_dim": "start",
    "end_dim": "end", "unbiased": "correction", "ddof": "correction", "split_size_or_sections": "sizes",
    "split_size": "sizes", "src": "source", "shifts": "shift", "fill_value": "value", "size": "shape", "p": "ord",
    "normalized_shape": "features", "num_features": "features", "vocab_size": "num_embeddings",
    "embed_dim": "embedding_dim",
}  # fmt: skip
"""Names of arguments, and what they are called here."""

NEEDLESS = {"inplace": "nothing changes its input, leave it out", "device": "there is one device, leave it out"}
"""Names of arguments that nothing here has."""

GRADIENTS = "gradients come with a later stage, once it is imported and enabled"
NAMES = {
    **dict.fromkeys(["backward", "detach", "register_hook", "zero_grad", "is_leaf"], GRADIENTS),
    **dict.fromkeys(["no_grad", "enable_grad", "set_grad_enabled", "inference_mode"], "a later stage has no_grad"),
    **dict.fromkeys(["relu", "softmax", "log_softmax", "sigmoid", "gelu"], "it comes with a later stage"),
    **dict.fromkeys(["to", "type", "type_as"], "write astype(dtype)"),
    **dict.fromkeys(["cpu", "cuda", "device", "pin_memory"], "there is one device, leave it out"),
    **dict.fromkeys(["add_", "sub_", "mul_", "div_"], "write x += y, x -= y, x *= y or x /= y"),
    **dict.fromkeys(["copy_", "fill_", "zero_"], "write x[...] = value"),
    **dict.fromkeys(["mm", "bmm", "mv", "dot"], "write x @ y"),
    **dict.fromkeys(["tensor", "as_tensor", "from_numpy", "FloatTensor", "LongTensor"], "write Tensor(data)"),
    "add": "write x + y", "sub": "write x - y", "mul": "write x * y", "div": "write x / y", "pow": "write x ** y",
    "eq": "write x == y", "ne": "write x != y", "lt": "write x < y", "gt": "write x > y", "neg": "write -x",
    "view": "it is called reshape here", "view_as": "write x.reshape(y.shape)", "expand_as": "write x.expand(y.shape)",
    "clone": "it is called copy here", "numel": "x.size is the number of elements", "dim": "x.ndim counts the axes",
    "cat": "it is called concat here", "contiguous": "every operation takes every layout, leave it out",
    "requires_grad_": "set x.requires_grad = True", "t": "write x.T", "clamp": "it is called clip here",
    "float": "write astype(float32)", "double": "write astype(float64)", "half": "write astype(float16)",
    "long": "write astype(int64)", "int": "write astype(int32)", "bool": "write astype(bool)",
    "masked_select": "write x[mask]", "index_select": "it is called take here", "narrow": "write a slice, x[start:end]",
    "repeat_interleave": "it is called repeat here", "movedim": "it is called moveaxis here",
    "meshgrid": "write np.meshgrid, and Tensor(array)", "one_hot": "write eye(n)[indices]",
    "multinomial": "draw with generator.choice(n, p=weights)", "bernoulli": "write rand(shape) < p",
    "rsqrt": "write x ** -0.5", "fmod": "x % y has the sign of y", "new_zeros": "write zeros_like(x)",
}  # fmt: skip
"""Names of methods and functions, and what to write."""


def unknown_argument(name: str, word: str, form: str) -> TypeError:
    """The error for an argument that the operation `name` does not have."""
    if word in ARGUMENTS and ARGUMENTS[word] in form:
        return TypeError(f"{name}: {word} is called {ARGUMENTS[word]} here; the form is {form}")
    needless = f"{NEEDLESS[word]}; " if word in NEEDLESS else ""
    return TypeError(f"{name}: unknown argument {word!r}; {needless}the form is {form}")


def refuse_words(cls: type, arguments: Iterable[str]) -> None:
    """Raise TypeError for one of these words among `arguments` that `cls` does not take, and say what to write."""
    for word in arguments:
        if word in ARGUMENTS or word in NEEDLESS:
            parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]  # type: ignore[misc]
            if not any(word == each.name or each.kind is each.VAR_KEYWORD for each in parameters):
                names = ", ".join(each.name for each in parameters if each.kind is each.POSITIONAL_OR_KEYWORD)
                raise unknown_argument(cls.__name__, word, f"{cls.__name__}({names})")


def answer_arguments(namespace: dict[str, Any], names: list[str]) -> None:
    """Have functions answer arguments that they do not have; primitives do so by themselves."""
    for name in names:
        if inspect.isfunction(function := namespace[name]):
            namespace[name] = _answering(function)
            setattr(sys.modules[function.__module__], name, namespace[name])  # where pickle finds it


def _answering(function: Callable[..., Any]) -> Callable[..., Any]:
    form = f"{function.__name__}({', '.join(inspect.signature(function).parameters)})"

    @functools.wraps(function)
    def answering(*args: Any, **params: Any) -> Any:
        try:
            return function(*args, **params)
        except TypeError as error:
            word = unknown_word(error)
            if word is None or word not in params:
                raise
        raise unknown_argument(function.__name__, word, form)

    return answering


def unknown_word(error: Exception) -> str | None:
    """The argument that Python says a function does not have."""
    found = re.search(r"unexpected keyword argument '(\w+)'", str(error))
    return found and found[1]
