"""`save_gguf`: a model and its tokenizer as a GGUF file."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from functools import partial
from math import prod
from typing import Any

import numpy as np

from tinytorch.layers import Embedding, LayerNorm, Linear, Module, RMSNorm
from tinytorch.tensor import Array
from tinytorch.transformer import BERT, GPT, PositionalEncoding

from ..codes import Codes
from ..embedding import QuantizedEmbedding
from ..linear import QuantizedLinear
from ..module import QuantizedModule
from ..packing import unpack
from .blocks import FORMATS, encode, q4_0, q8_0
from .families import FAMILIES, Family
from .names import Slot, interleave, slots
from .tokenizer import tokenizer_metadata
from .writing import Item, write_items

TYPES = {"F32": 0, "F16": 1, "Q4_0": 2, "Q8_0": 7}
"""The types that `save_gguf` rounds to, and the numbers that `general.file_type` has for them."""

FULL = ("positional", "segment_embedding")  # are added to embeddings in float32, and written so
PLAIN = (Linear, Embedding, LayerNorm, RMSNorm, PositionalEncoding)


def save_gguf(
    model: GPT | BERT,
    path: str | os.PathLike[str],
    tokenizer: Any = None,
    type: str = "Q8_0",
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Write a model, and its `BPETokenizer` if given, to a GGUF file, atomically.

    `type` is that of the weights: "F32", "F16", "Q8_0" or "Q4_0", rounded to nearest as ggml rounds them. Norms, biases
    and learned positions are F32 in every file, and rows that are not a multiple of 32 are F16 where blocks of 32 are
    asked for. Layers that are quantized already keep their codes, of 8 bits as Q8_0, of 4 bits as Q4_0 and of 16 as F16
    or BF16, whatever `type` says; scales are rounded to float16, which changes none that came from a GGUF file.
    `metadata` are more values by name, such as `{"general.name": "Ada", "tokenizer.chat_template": "..."}`.

    Raises ValueError for a type that is not known, for a model that is neither GPT-2's, Llama's nor BERT's or has parts
    that GGUF has no place for (heads of BERT, other layers, asymmetric codes, groups that are no multiple of 32,
    integer activations), for numbers that the type cannot hold, a tokenizer of another model and metadata that the file
    has already; TypeError for what is neither a GPT nor a BERT; OSErrors as `replacing` does.
    """
    if type not in TYPES:
        raise ValueError(f"save_gguf: type is {type!r}; known are {', '.join(TYPES)}")
    family = family_of(model)
    config = model.config
    holders: dict[str, list[Slot]] = defaultdict(list)
    for slot in slots(config, family.places):
        holders[slot.source].append(slot)
    known = {f"{slot.module}.{slot.leaf}" for parts in holders.values() for slot in parts}
    items = {source: _item(model, parts, type) for source, parts in holders.items()}
    for name, _ in model.named_parameters():
        if name not in known:
            raise ValueError(f"save_gguf: {family.architecture} files have no place for {name}; remove that part first")
    for name, array in family.tensors(config).items():
        items[name] = Item("F32", array.shape, partial(encode, "F32", array))
    said = {
        **family.metadata(config),
        **tokenizer_metadata(tokenizer, config.vocab_size, config.stop_tokens),
        "general.file_type": (TYPES | {"BF16": 32})[_most(items)],
        "general.quantization_version": 2,
    }
    if twice := [name for name in metadata or {} if name in said]:
        raise ValueError(f"save_gguf: metadata sets {twice[0]}, which follows from the model and the tokenizer")
    write_items(path, items, said | dict(metadata or {}))


def family_of(model: Any) -> Family:
    """The family whose files can hold a model. Raises TypeError for other models, ValueError for other options."""
    if not isinstance(model, GPT | BERT):
        raise TypeError(f"save_gguf: got a {model.__class__.__name__}; GGUF files hold a GPT or a BERT")
    name = "bert" if isinstance(model, BERT) else "llama" if model.config.positions == "rotary" else "gpt2"
    if misfits := FAMILIES[name].misfits(model.config):
        options = ", ".join(f"{each} {getattr(model.config, each)!r}" for each in misfits)
        raise ValueError(f"save_gguf: {name} files have no place for {options}; save(model, path) has for all models")
    return FAMILIES[name]


def _item(model: Module, parts: list[Slot], type: str) -> Item:
    """The tensor that some parameters make, part after part along the rows."""
    stored = [_stored(model, slot, type) for slot in parts]
    (kind, _), *others = stored
    if any(other != kind for other, _ in others):
        what = ", ".join(f"{slot.module} {kind}" for slot, (kind, _) in zip(parts, stored, strict=True))
        raise ValueError(f"save_gguf: {what}: they are one tensor of one type; quantize all of them or none")
    rows, *rest = parts[0].shape

    def make() -> Array:
        made = [make() for _, make in stored]
        return np.concatenate(made).reshape(-1)

    return Item(kind, (rows * len(parts), *rest), make)


def _stored(model: Module, slot: Slot, type: str) -> tuple[str, Callable[[], Array]]:
    """The type that a parameter is written as, and what computes its items, rows first."""
    module, name = model.get_submodule(slot.module), f"{slot.module}.{slot.leaf}"
    shape: tuple[int, ...]
    if module.__class__ not in (*PLAIN, QuantizedLinear, QuantizedEmbedding):
        raise ValueError(f"save_gguf: {slot.module} is a {module.__class__.__name__}; GGUF has no place for that layer")
    if isinstance(module, QuantizedModule) and slot.leaf == "weight":
        if how := getattr(module, "activations", None):
            what = f"{how} activations of 8 bits"
            raise ValueError(f"save_gguf: {slot.module} has {what}, and GGUF no place for them; call its expect(None)")
        codes = module.codes
        shape, kind, rows = _width(codes), _coded(name, codes), partial(_blocks, codes)
    else:
        array = getattr(module, slot.leaf).data
        array = array.T if isinstance(module, Linear) else array
        shape, kind = array.shape, _kind(slot, type)
        rows = partial(_encoded, name, kind, array)
    if shape != slot.shape:
        raise ValueError(f"save_gguf: {name} is {shape} and the configuration says {slot.shape}; GGUF asks for that")
    return kind, (lambda: interleave(rows(), slot.heads)) if slot.heads else rows


def _kind(slot: Slot, type: str) -> str:
    if len(slot.shape) == 1 or slot.module in FULL:
        return "F32"
    return "F16" if slot.shape[-1] % FORMATS[type].block else type


def _encoded(name: str, kind: str, array: Array) -> Array:
    """The items of a tensor (rows, ...): (rows, items of a row)."""
    try:
        return encode(kind, array).reshape(len(array), -1)
    except ValueError as error:
        raise ValueError(f"save_gguf: {name}: {error}") from None


def _coded(name: str, codes: Codes) -> str:
    """The type that holds codes. Raises ValueError for those that none holds."""
    _, n = _width(codes)
    if codes.scale is None:
        return "BF16" if codes.weight.dtype == np.uint16 else "F16"
    if codes.zero_point is not None:
        raise ValueError(f"save_gguf: {name} has zero points; quantize it with symmetric=True")
    if n % (32 * codes.scale.shape[1]):
        raise ValueError(f"save_gguf: {name} has groups of {n // codes.scale.shape[1]}; multiples of 32 can be written")
    return "Q4_0" if codes.weight.dtype == np.uint8 else "Q8_0"


def _width(codes: Codes) -> tuple[int, int]:
    """Rows, and weights in each."""
    rows, n = codes.weight.shape
    return rows, n * (2 if codes.weight.dtype == np.uint8 else 1)


def _blocks(codes: Codes) -> Array:
    """The blocks of codes, (rows, n / 32), or numbers of 16 bits, (rows, n)."""
    if codes.scale is None:
        return codes.weight
    packed = codes.weight.dtype == np.uint8
    levels = unpack(codes.weight).astype(np.int8) - np.int8(8) if packed else codes.weight
    levels = levels.reshape(len(levels), -1, 32)  # (rows, n / 32, 32)
    scale = np.repeat(codes.scale, levels.shape[1] // codes.scale.shape[1], axis=1)  # (rows, n / 32)
    blocks = (q4_0 if packed else q8_0)(scale.reshape(-1), levels.reshape(-1, 32))
    if not np.isfinite(blocks["d"]).all():
        raise ValueError(f"save_gguf: a scale of {scale.max():g} is too large for float16")
    return blocks.reshape(levels.shape[:2])


def _most(items: Mapping[str, Item]) -> str:
    """The type of most numbers."""
    count: Counter[str] = Counter()
    for item in items.values():
        count[item.kind] += prod(item.shape)
    return count.most_common(1)[0][0]
