"""`load_gguf`: the model and the tokenizer of a GGUF file."""

from __future__ import annotations

import os
from collections import defaultdict
from typing import Any

import numpy as np
import numpy.typing as npt

from tinytorch.layers import Embedding, Linear, Module, Parameter, init
from tinytorch.tensor import Array
from tinytorch.tokenizers import BPETokenizer
from tinytorch.transformer import BERT, GPT

from ..codes import Codes
from ..embedding import QuantizedEmbedding
from ..linear import QuantizedLinear
from ..scheme import Scheme
from .blocks import FORMATS, decode, nibbles
from .container import GGUFFile
from .families import FAMILIES
from .names import Slot, compare, slots, split_halves
from .tokenizer import read_tokenizer

SCHEMES = {"Q8_0": Scheme(bits=8, group_size=32), "Q4_0": Scheme(bits=4, group_size=32)}
"""The types whose blocks are kept as they are, and what they are here."""

QUANTIZED: dict[type[Module], type[QuantizedLinear] | type[QuantizedEmbedding]] = {
    Linear: QuantizedLinear, Embedding: QuantizedEmbedding,
}  # fmt: skip


def load_gguf(
    path: str | os.PathLike[str], dtype: npt.DTypeLike | None = None, *, quantized: bool = True, tokenizer: bool = True
) -> tuple[GPT | BERT, BPETokenizer | None]:
    """The model in a GGUF file, switched to `eval()`, and its tokenizer: a `GPT` for GPT-2 and Llama, a `BERT`.

    Weights of Q8_0 and Q4_0 become `QuantizedLinear` and `QuantizedEmbedding` in groups of 32, with the codes and
    scales of the file, unless `quantized` is False; all others become floats of `dtype`, the default one unless given.
    A GPT stops at the file's tokens eos, eot and eom. The tokenizer is None where the file has none, and where
    `tokenizer` is False. `read_gguf` gives what else a file says, such as "tokenizer.chat_template".

    Raises as `read_gguf` does, and FileFormatError for an architecture, an option or a tokenizer that is not known, for
    tensors that are missing or left over, and for shapes that do not fit.
    """
    with GGUFFile(path) as file:
        architecture = file.metadata.get("general.architecture")
        if not isinstance(architecture, str) or architecture not in FAMILIES:
            raise file.wrong(f"general.architecture is {architecture!r:.60}; known are {', '.join(FAMILIES)}")
        family = FAMILIES[architecture]
        Parameter([0.0], dtype)  # raises TypeError for a dtype that weights cannot have
        config = family.read(file)
        wanted = [*slots(config, family.places)]
        compare(file, wanted, family.beside)
        words = read_tokenizer(file) if tokenizer else None
        if words is not None and words.vocab_size > config.vocab_size:
            raise file.wrong(f"its tokenizer has {words.vocab_size} tokens, the model {config.vocab_size}")
        try:
            with init.undrawn():
                model = GPT.from_config(config, dtype=dtype) if family.model is GPT else BERT(config, dtype=dtype)
        except (TypeError, ValueError) as error:
            raise file.wrong(error) from error
        _fill(model, file, wanted, quantized)
    return model.eval(), words


def _fill(model: Module, file: GGUFFile, wanted: list[Slot], quantized: bool) -> None:
    """Put the tensors of a file into a model, one tensor after another."""
    holders: dict[str, list[Slot]] = defaultdict(list)
    for slot in wanted:
        holders[slot.source].append(slot)
    for source in file:  # in the order of the file
        kind = file.types[source]
        if source not in holders:
            continue
        if FORMATS[kind].decode is None or kind.startswith("I"):
            known = ", ".join(name for name, form in FORMATS.items() if form.decode and not name.startswith("I"))
            raise file.wrong(f"{source} is {kind}; weights are read from {known}")
        *rows, n = file.shapes[source]
        items = file.blocks(source).reshape(*rows, n // FORMATS[kind].block)
        for slot in holders[source]:
            size = slot.shape[0]
            mine = items[slot.part * size : (slot.part + 1) * size]
            mine = split_halves(mine, slot.heads) if slot.heads else mine
            module = model.get_submodule(slot.module)
            if quantized and kind in SCHEMES and type(module) in QUANTIZED and slot.leaf == "weight":
                _hold(model, slot, module, kind, mine)
            else:
                numbers = decode(kind, np.ascontiguousarray(mine).reshape(-1))
                if not _write(getattr(module, slot.leaf), module, numbers, slot):
                    raise file.wrong(f"{source} has numbers that are too large for {getattr(module, slot.leaf).dtype}")


def _hold(model: Module, slot: Slot, module: Any, kind: str, blocks: Array) -> None:
    """Put a layer with the codes of `blocks` (rows, groups) in the place of a layer of floats."""
    made = QUANTIZED[type(module)].from_float(module, SCHEMES[kind], codes_of(kind, blocks, module.weight.dtype))
    parent, _, name = slot.module.rpartition(".")
    setattr(model.get_submodule(parent), name, made)


def codes_of(kind: str, blocks: Array, dtype: npt.DTypeLike) -> Codes:
    """The codes and scales of blocks (rows, groups)."""
    rows = len(blocks)
    scale = blocks["d"].astype(dtype)  # (rows, groups)
    if kind == "Q8_0":
        return Codes(np.ascontiguousarray(blocks["q"]).reshape(rows, -1), scale, None)
    codes = nibbles(blocks["q"])  # (rows, groups, 32), from 0 to 15
    return Codes((codes[..., 0::2] | codes[..., 1::2] << 4).reshape(rows, -1), scale, None)


def _write(parameter: Parameter, module: Module, numbers: Array, slot: Slot) -> bool:
    """Put numbers into a parameter; a linear layer's weight is (in_features, out_features) here.

    False where a number that was finite has become infinite.
    """
    array = numbers.reshape(slot.shape)
    array = array.T if isinstance(module, Linear) else array
    with np.errstate(over="ignore"):
        parameter.data = np.array(array, parameter.dtype, order="C", copy=None)
    return parameter.dtype.itemsize >= numbers.dtype.itemsize or bool(
        (np.isfinite(array) <= np.isfinite(parameter.data)).all()
    )
