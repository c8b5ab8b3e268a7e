"""What the tensors of each family are called in GGUF files, and which sizes they have.

Source: the `gguf` library, `constants.py`; llama.cpp, `convert_hf_to_gguf.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from tinytorch.tensor import Array
from tinytorch.transformer import TransformerConfig

from .container import GGUFFile


class Place(NamedTuple):
    """The tensor that a module's weight is: its name without ".weight", and a letter for the size of each axis.

    The letters are those of `sizes`. `bias` says which layers of a configuration have one: those of "attention", of the
    feed-forward part ("mlp"), and norms ("norm"). `part` of `parts` counts along the rows. `heads` is the letter of the
    heads whose rows are interleaved there.
    """

    theirs: str
    axes: str
    bias: str = ""
    part: int = 0
    parts: int = 1
    heads: str = ""


class Slot(NamedTuple):
    """A parameter of a model, and the rows of the tensor that hold it."""

    module: str
    leaf: str  # weight or bias
    source: str
    shape: tuple[int, ...]  # with rows of outputs first
    part: int
    parts: int
    heads: int  # whose rows are interleaved there; 0 for none


GPT2 = {
    "token_embedding": Place("token_embd", "VD"), "positional": Place("position_embd", "TD"),
    "norm": Place("output_norm", "D", "norm"), "head": Place("output", "VD"),
    "blocks.{i}.norm1": Place("blk.{i}.attn_norm", "D", "norm"),
    "blocks.{i}.attention.q_proj": Place("blk.{i}.attn_qkv", "DD", "attention", 0, 3),
    "blocks.{i}.attention.k_proj": Place("blk.{i}.attn_qkv", "DD", "attention", 1, 3),
    "blocks.{i}.attention.v_proj": Place("blk.{i}.attn_qkv", "DD", "attention", 2, 3),
    "blocks.{i}.attention.out_proj": Place("blk.{i}.attn_output", "DD", "attention"),
    "blocks.{i}.norm2": Place("blk.{i}.ffn_norm", "D", "norm"),
    "blocks.{i}.feed_forward.up": Place("blk.{i}.ffn_up", "FD", "mlp"),
    "blocks.{i}.feed_forward.down": Place("blk.{i}.ffn_down", "DF", "mlp"),
}  # fmt: skip

LLAMA = {
    "token_embedding": Place("token_embd", "VD"),
    "norm": Place("output_norm", "D", "norm"), "head": Place("output", "VD"),
    "blocks.{i}.norm1": Place("blk.{i}.attn_norm", "D", "norm"),
    "blocks.{i}.attention.q_proj": Place("blk.{i}.attn_q", "QD", "attention", heads="h"),
    "blocks.{i}.attention.k_proj": Place("blk.{i}.attn_k", "KD", "attention", heads="k"),
    "blocks.{i}.attention.v_proj": Place("blk.{i}.attn_v", "KD", "attention"),
    "blocks.{i}.attention.out_proj": Place("blk.{i}.attn_output", "DQ", "attention"),
    "blocks.{i}.norm2": Place("blk.{i}.ffn_norm", "D", "norm"),
    "blocks.{i}.feed_forward.gate": Place("blk.{i}.ffn_gate", "FD", "mlp"),
    "blocks.{i}.feed_forward.up": Place("blk.{i}.ffn_up", "FD", "mlp"),
    "blocks.{i}.feed_forward.down": Place("blk.{i}.ffn_down", "DF", "mlp"),
}  # fmt: skip

BERT = {
    "token_embedding": Place("token_embd", "VD"), "positional": Place("position_embd", "TD"),
    "segment_embedding": Place("token_types", "SD"), "embedding_norm": Place("token_embd_norm", "D", "norm"),
    "blocks.{i}.attention.q_proj": Place("blk.{i}.attn_q", "DD", "attention"),
    "blocks.{i}.attention.k_proj": Place("blk.{i}.attn_k", "DD", "attention"),
    "blocks.{i}.attention.v_proj": Place("blk.{i}.attn_v", "DD", "attention"),
    "blocks.{i}.attention.out_proj": Place("blk.{i}.attn_output", "DD", "attention"),
    "blocks.{i}.norm1": Place("blk.{i}.attn_output_norm", "D", "norm"),
    "blocks.{i}.feed_forward.up": Place("blk.{i}.ffn_up", "FD", "mlp"),
    "blocks.{i}.feed_forward.down": Place("blk.{i}.ffn_down", "DF", "mlp"),
    "blocks.{i}.norm2": Place("blk.{i}.layer_output_norm", "D", "norm"),
}  # fmt: skip


def sizes(config: TransformerConfig) -> dict[str, int]:
    """The size of each letter: vocabulary V, width D, positions T, segments S, heads h and k, and what they make."""
    D, h = config.embed_dim, config.num_heads
    k, head_dim = config.num_kv_heads or h, config.head_dim or D // h
    F = 4 * D if config.hidden_dim is None else config.hidden_dim
    return {
        "V": config.vocab_size, "D": D, "T": config.max_seq_len, "S": config.num_segments, "F": F,
        "h": h, "k": k, "Q": h * head_dim, "K": k * head_dim,
    }  # fmt: skip


def slots(config: TransformerConfig, places: Mapping[str, Place]) -> Iterator[Slot]:
    """Every parameter of the model that `config` describes, in the order of `places`, blocks last."""
    size = sizes(config)
    attention = config.bias if config.attention_bias is None else config.attention_bias
    biased = {"attention": attention, "mlp": config.bias, "norm": config.norm == "layer", "": False}
    for module, place in places.items():
        if (module == "head" and config.tied) or (module == "segment_embedding" and not config.num_segments):
            continue
        shape = tuple(size[letter] for letter in place.axes)
        heads = size.get(place.heads, 0)
        for i in range(config.num_layers if "{i}" in module else 1):
            name, source = module.replace("{i}", str(i)), place.theirs.replace("{i}", str(i))
            yield Slot(name, "weight", f"{source}.weight", shape, place.part, place.parts, heads)
            if biased[place.bias]:
                yield Slot(name, "bias", f"{source}.bias", shape[:1], place.part, place.parts, heads)


def compare(file: GGUFFile, wanted: list[Slot], beside: frozenset[str]) -> None:
    """Refuse a file whose tensors are not those that its metadata describe; `beside` may be there too."""
    shapes = {slot.source: (slot.parts * slot.shape[0], *slot.shape[1:]) for slot in wanted}
    problems = {
        "missing": [name for name in shapes if name not in file],
        "unexpected": [name for name in file if name not in shapes and name not in beside],
        "wrong shape": [
            f"{name} {file.shapes[name]}, not {shape}"
            for name, shape in shapes.items()
            if name in file and file.shapes[name] != shape
        ],
    }
    said = "; ".join(f"{kind}: {_some(names)}" for kind, names in problems.items() if names)
    if said:
        raise file.wrong(f"its tensors do not fit its metadata: {said}")


def _some(names: list[str], most: int = 6) -> str:
    rest = len(names) - most
    return ", ".join(f"{name:.200}" for name in names[:most]) + (f" and {rest} more" if rest > 0 else "")


def interleave(rows: Array, heads: int) -> Array:
    """Rows of each head with the two of a pair side by side: i and i + n/2 become 2 i and 2 i + 1, along axis 0.

    ggml rotates neighbors where checkpoints rotate the two halves of a head, so the rows of queries and keys change
    places. Rows move whole: numbers that are stored in blocks along them stay as they are.

    >>> import numpy as np
    >>> interleave(np.arange(8), heads=2).tolist()
    [0, 2, 1, 3, 4, 6, 5, 7]
    """
    return rows.reshape(heads, 2, -1, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def split_halves(rows: Array, heads: int) -> Array:
    """What `interleave` was given.

    >>> import numpy as np
    >>> split_halves(np.array([0, 2, 1, 3, 4, 6, 5, 7]), heads=2).tolist()
    [0, 1, 2, 3, 4, 5, 6, 7]
    """
    return rows.reshape(heads, -1, 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)
