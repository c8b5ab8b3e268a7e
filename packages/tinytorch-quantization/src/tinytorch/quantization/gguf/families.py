"""What GGUF files say of a model, as a `TransformerConfig`, and the other way around. Each family is one class."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from tinytorch.attention.rotary import scale_frequencies
from tinytorch.tensor import Array, FileFormatError
from tinytorch.transformer import BERT, GPT, TransformerConfig

from . import names
from .container import GGUFFile
from .names import Place

ROPE_FACTORS = "rope_freqs.weight"
LLAMA3 = ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")
STOP = ("eos", "eot", "eom")  # what the tokens that end a text are called, in the order of `stop_tokens`


class Said:
    """The values of a file's header below the name of its architecture, with their types checked."""

    def __init__(self, file: GGUFFile, architecture: str) -> None:
        self.file, self.prefix = file, f"{architecture}."

    def integer(self, name: str, default: int | None = None) -> int:
        """A size, from 1."""
        value = self.file.metadata.get(self.prefix + name, default)
        if value is None:
            raise self.file.wrong(f"it has no {self.prefix}{name}, which every {self.prefix[:-1]} file has")
        if type(value) is not int or not 0 < value < 2**31:
            raise self.file.wrong(f"{self.prefix}{name} is {value!r:.60}; it is one integer above 0")
        return value

    def real(self, name: str, default: float) -> float:
        """A number above 0, with the digits that its 32 bits have: 1e-5 as 1e-05 rather than 9.99999974e-06."""
        value = self.file.metadata.get(self.prefix + name, default)
        if type(value) is not float or not 0 < value < np.inf:
            raise self.file.wrong(f"{self.prefix}{name} is {value!r:.60}; it is a number above 0")
        return float(str(np.float32(value))) if value == np.float32(value) else value

    def require(self, **expected: Any) -> None:
        """Refuse a file in which one of these values (a dot written as `__`) is another."""
        for name, value in expected.items():
            found = self.file.metadata.get(self.prefix + (name := name.replace("__", ".")), value)
            if found is not value and not (type(found) is type(value) and found == value):
                raise self.file.wrong(f"{self.prefix}{name} is {found!r:.60}; only {value!r} is known")


class Family(ABC):
    """One architecture of GGUF files."""

    architecture: ClassVar[str]
    places: ClassVar[Mapping[str, Place]]
    model: ClassVar[type[GPT] | type[BERT]] = GPT
    beside: ClassVar[frozenset[str]] = frozenset()  # tensors that are not parameters
    eps: ClassVar[str] = "attention.layer_norm_epsilon"

    @abstractmethod
    def config(self, file: GGUFFile, said: Said, common: dict[str, Any]) -> TransformerConfig:
        """The configuration that a file describes; `common` are the fields that all families share."""

    @abstractmethod
    def expected(self, config: TransformerConfig) -> TransformerConfig:
        """The configuration of this family with the sizes of `config`: the same one if files can hold it."""

    def misfits(self, config: TransformerConfig) -> list[str]:
        """The fields of `config` that files of this family have no place for."""
        ours, theirs = canonical(config), canonical(self.expected(config))
        return [name for name, value in vars(ours).items() if getattr(theirs, name) != value]

    def read(self, file: GGUFFile) -> TransformerConfig:
        """The configuration that a file describes. Raises FileFormatError for what is missing or not known."""
        said = Said(file, self.architecture)
        table = file.shapes.get("token_embd.weight", ())
        if len(table) != 2:
            raise file.wrong("it has no token_embd.weight of two axes; it holds no whole model")
        blocks = {name.split(".")[1] for name in file if name.startswith("blk.")}
        if len(blocks) != (layers := said.integer("block_count")):  # else a billion could be made before that is seen
            raise file.wrong(f"it has {len(blocks)} blocks where block_count says {layers}")
        common = {
            "vocab_size": table[0],
            "embed_dim": said.integer("embedding_length"),
            "num_layers": layers,
            "num_heads": said.integer("attention.head_count"),
            "hidden_dim": said.integer("feed_forward_length"),
            "max_seq_len": said.integer("context_length"),
            "norm_eps": said.real(self.eps, 1e-5),
            "tied": "output.weight" not in file,
            "stop_tokens": stop_tokens(file, table[0]),
        }
        try:
            return self.config(file, said, common)
        except FileFormatError:
            raise
        except (TypeError, ValueError) as error:
            raise file.wrong(error) from error

    def metadata(self, config: TransformerConfig) -> dict[str, Any]:
        """What a file says of a configuration."""
        size = names.sizes(config)
        values: dict[str, Any] = {
            "context_length": size["T"],
            "embedding_length": size["D"],
            "block_count": config.num_layers,
            "feed_forward_length": size["F"],
            "attention.head_count": size["h"],
            self.eps: np.float32(config.norm_eps),
            "vocab_size": size["V"],
        }
        said = {f"{self.architecture}.{name}": value for name, value in values.items()}
        ends = {f"tokenizer.ggml.{name}_token_id": i for name, i in zip(STOP, config.stop_tokens, strict=False)}
        more = {"tinytorch.stop_tokens": list(config.stop_tokens)} if len(config.stop_tokens) > len(STOP) else {}
        return {"general.architecture": self.architecture, **said, **ends, **more}

    def tensors(self, config: TransformerConfig) -> dict[str, Array]:
        """Tensors that are written beside the parameters."""
        return {}


class GPT2Family(Family):
    architecture, places = "gpt2", names.GPT2

    def config(self, file: GGUFFile, said: Said, common: dict[str, Any]) -> TransformerConfig:
        said.require(attention__head_count_kv=common["num_heads"])
        return TransformerConfig.gpt2(**common)

    def expected(self, config: TransformerConfig) -> TransformerConfig:
        return TransformerConfig.gpt2(**_shared(config))


class LlamaFamily(Family):
    architecture, places, beside = "llama", names.LLAMA, frozenset({ROPE_FACTORS})
    eps = "attention.layer_norm_rms_epsilon"

    def config(self, file: GGUFFile, said: Said, common: dict[str, Any]) -> TransformerConfig:
        said.require(expert_count=0, rope__scale_linear=1.0, attention__causal=True)
        head_dim = said.integer("attention.key_length", common["embed_dim"] // common["num_heads"])
        said.require(attention__value_length=head_dim, rope__dimension_count=head_dim)
        base, first = said.real("rope.freq_base", 10000.0), "blk.0.attn_{}.bias"
        return TransformerConfig.llama(
            **common,
            num_kv_heads=said.integer("attention.head_count_kv", common["num_heads"]),
            head_dim=None if head_dim * common["num_heads"] == common["embed_dim"] else head_dim,
            rotary_base=base,
            rotary_scaling=self._scaling(file, said, base, head_dim),
            bias="blk.0.ffn_up.bias" in file,
            attention_bias=first.format("q") in file,
        )

    def _scaling(self, file: GGUFFile, said: Said, base: float, head_dim: int) -> dict[str, Any] | None:
        """How the frequencies of rotary positions are lowered: by one factor, or by one for each pair."""
        scaled = "llama.rope.scaling.factor" in file.metadata
        kind = file.metadata.get("llama.rope.scaling.type", "linear" if scaled else "none")
        if kind == "linear":
            return {"rope_type": "linear", "factor": said.real("rope.scaling.factor", 1.0)}
        if kind != "none":
            raise file.wrong(f"llama.rope.scaling.type is {kind!r:.60}; known are 'none' and 'linear'")
        if ROPE_FACTORS not in file:
            return None
        if file.shapes[ROPE_FACTORS] != (head_dim // 2,):
            raise file.wrong(f"{ROPE_FACTORS} is {file.shapes[ROPE_FACTORS]}; it must be ({head_dim // 2},)")
        factors = file[ROPE_FACTORS]
        if factors.dtype != np.float32 or not ((factors > 0) & (factors < np.inf)).all():
            raise file.wrong(f"{ROPE_FACTORS} holds what are no numbers above 0")
        ours = {name: file.metadata.get(f"tinytorch.rope.{name}") for name in LLAMA3}
        if ours["factor"] is None:
            return {"rope_type": "factors", "factors": tuple(factors.tolist())}
        scaling = {"rope_type": "llama3", **ours}
        if not np.array_equal(rope_factors(base, head_dim, scaling), factors):
            raise file.wrong(f"{ROPE_FACTORS} contradicts tinytorch.rope {ours}")
        return scaling

    def expected(self, config: TransformerConfig) -> TransformerConfig:
        rest = ("num_kv_heads", "head_dim", "rotary_base", "rotary_scaling", "bias", "attention_bias")
        return TransformerConfig.llama(**_shared(config, *rest))

    def metadata(self, config: TransformerConfig) -> dict[str, Any]:
        size = names.sizes(config)
        head_dim = size["Q"] // size["h"]
        values: dict[str, Any] = {
            "attention.head_count_kv": size["k"],
            "attention.key_length": head_dim,
            "attention.value_length": head_dim,
            "rope.dimension_count": head_dim,
            "rope.freq_base": np.float32(config.rotary_base),
        }
        scaling = dict(config.rotary_scaling or {})
        kind = scaling.get("rope_type", "default")
        if kind == "linear":
            values |= {"rope.scaling.type": "linear", "rope.scaling.factor": np.float32(scaling["factor"])}
        ours = {f"tinytorch.rope.{name}": scaling[name] for name in LLAMA3} if kind == "llama3" else {}
        return super().metadata(config) | {f"llama.{name}": value for name, value in values.items()} | ours

    def tensors(self, config: TransformerConfig) -> dict[str, Array]:
        scaling = dict(config.rotary_scaling or {})
        if scaling.get("rope_type", "default") in ("default", "linear"):
            return {}
        size = names.sizes(config)
        return {ROPE_FACTORS: rope_factors(config.rotary_base, size["Q"] // size["h"], scaling)}


class BERTFamily(Family):
    architecture, places, model = "bert", names.BERT, BERT

    def config(self, file: GGUFFile, said: Said, common: dict[str, Any]) -> TransformerConfig:
        said.require(attention__causal=False, attention__head_count_kv=common["num_heads"])
        segments = file.shapes.get("token_types.weight", (0,))[0]
        return TransformerConfig.bert(**common | {"tied": True, "stop_tokens": (), "num_segments": segments})

    def expected(self, config: TransformerConfig) -> TransformerConfig:
        return TransformerConfig.bert(**_shared(config, "num_segments"))

    def metadata(self, config: TransformerConfig) -> dict[str, Any]:
        return super().metadata(config) | {
            "bert.attention.causal": False,
            "tokenizer.ggml.token_type_count": config.num_segments,
        }


FAMILIES: dict[str, Family] = {family.architecture: family for family in (GPT2Family(), LlamaFamily(), BERTFamily())}


def canonical(config: TransformerConfig) -> TransformerConfig:
    """What computes the same as `config` when it does not train, with every size that follows from others left out."""
    size = names.sizes(config)
    rotary = config.positions == "rotary"
    scaling = dict(config.rotary_scaling or {}) if rotary else {}
    return replace(
        config,
        num_kv_heads=None if size["k"] == size["h"] else size["k"],
        head_dim=None if size["Q"] == size["D"] else config.head_dim,
        hidden_dim=size["F"],
        attention_bias=None if config.attention_bias == config.bias else config.attention_bias,
        rotary_base=config.rotary_base if rotary else 10000.0,
        rotary_scaling=None if scaling.get("rope_type", "default") == "default" else scaling,
        dropout=0.0,
    )


def _shared(config: TransformerConfig, *more: str) -> dict[str, Any]:
    """The fields in which models of one family differ."""
    common = ("vocab_size", "embed_dim", "num_layers", "num_heads", "max_seq_len", "hidden_dim", "norm_eps", "tied")
    return {name: getattr(config, name) for name in (*common, "stop_tokens", *more)}


def rope_factors(base: float, head_dim: int, scaling: Mapping[str, Any]) -> Array:
    """What the frequency of each pair is divided by, (head_dim / 2,) float32."""
    frequencies = base ** (-np.arange(0, head_dim, 2) / head_dim)
    return np.asarray(frequencies / scale_frequencies(frequencies, scaling), np.float32)


def stop_tokens(file: GGUFFile, vocab_size: int) -> tuple[int, ...]:
    """The tokens that end a text."""
    named = [file.metadata.get(f"tokenizer.ggml.{name}_token_id") for name in STOP]
    ours = file.metadata.get("tinytorch.stop_tokens")
    tokens = ours.tolist() if isinstance(ours, np.ndarray) else [token for token in named if token is not None]
    if not all(type(token) is int for token in tokens):
        raise file.wrong(f"tokens that end a text are {tokens!r:.60}; tokens are integers")
    return tuple(dict.fromkeys(token for token in tokens if 0 <= token < vocab_size))
