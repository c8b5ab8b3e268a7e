"""Arguments that people type by habit when they make a layer, and what to write here."""

from __future__ import annotations

import inspect
from typing import Any

ARGUMENTS = {
    "normalized_shape": "it is called features here", "num_features": "it is called features here",
    "vocab_size": "it is called num_embeddings here", "embed_dim": "it is called embedding_dim here",
    "dim": "it is called axis here", "start_dim": "it is called start here", "end_dim": "it is called end here",
    "inplace": "no layer changes its input, leave it out", "device": "there is one device, leave it out",
}  # fmt: skip


def answer_arguments(cls: type, arguments: dict[str, Any]) -> None:
    """Raise TypeError for one of these words among `arguments` that `cls` does not take, and say what to write."""
    for word in ARGUMENTS.keys() & arguments.keys():
        parameters = inspect.signature(cls.__init__).parameters.values()  # type: ignore[misc]
        if not any(word == each.name or each.kind is each.VAR_KEYWORD for each in parameters):
            form = ", ".join(each.name for each in list(parameters)[1:] if each.kind is each.POSITIONAL_OR_KEYWORD)
            raise TypeError(f"{cls.__name__}: {word}: {ARGUMENTS[word]}; the form is {cls.__name__}({form})")
