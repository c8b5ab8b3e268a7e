"""Adapters in files, in the layout that the peft library reads: `adapter_config.json` and `adapter_model.safetensors`.

Matrices are stored as PyTorch holds them, transposed: lora_A.weight (rank, in), lora_B.weight (out, rank).
"""

from __future__ import annotations

import json
import math
import os
import re
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tinytorch.layers import Module, init, load_tensors, save_tensors
from tinytorch.tensor import Array, FileFormatError, replacing
from tinytorch.transformer.pretrained.llama import MODULES

from .adapters import Named, adapters, attach, refuse_adapted
from .errors import AdapterError
from .layers import is_linear
from .lora import LoRALinear, sizes_of

CONFIG, WEIGHTS, PREFIX = "adapter_config.json", "adapter_model.safetensors", "base_model.model."
LARGEST_CONFIG = 2**20  # bytes
KEY = re.compile(r"base_model\.model\.(.+)\.(lora_[AB])(?:\.default)?\.weight")
UNKNOWN = (
    "use_dora",
    "modules_to_save",
    "layer_replication",
    "trainable_token_indices",
    "lora_bias",
    "target_parameters",
)

LLAMA_NAMES: Mapping[str, str] = {
    ours: theirs if ours == "head" else f"model.{theirs}" for ours, theirs in MODULES.items()
}
"""What transformers calls the layers of a Llama that `load_pretrained` made, for `save_lora` and `load_lora`."""


def save_lora(model: Module, folder: str | os.PathLike[str], names: Mapping[str, str] | None = None) -> None:
    """Write the adapters of a model, and nothing else of it, to two files in `folder`, which is made if needed.

    Layers are called as they are here, or, with `names`, as another library calls them: `LLAMA_NAMES`, or a mapping
    like it, in which `{i}` stands for a number. Raises AdapterError for a model without adapters and a layer that
    `names` leaves out or calls like another, OSError when a file cannot be written.

    >>> import tempfile
    >>> from tinytorch.compression import add_lora
    >>> from tinytorch.layers import Linear, Sequential, load_tensors
    >>> model = Sequential(Linear(4, 3))
    >>> _ = add_lora(model, rank=2)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_lora(model, folder)
    ...     sorted(load_tensors(f"{folder}/adapter_model.safetensors"))
    ['base_model.model.0.lora_A.weight', 'base_model.model.0.lora_B.weight']
    """
    layers = adapters(model)
    if not layers:
        raise AdapterError("save_lora: this model has no adapters; add_lora(model, rank) gives it some")
    called: dict[str, LoRALinear] = {}
    for name, layer in layers.items():
        theirs = _rename("save_lora", name, names)
        if theirs in called:
            raise AdapterError(f"save_lora: names calls {name} and another {theirs!r}; give each its own name")
        called[theirs] = layer
    tensors: dict[str, Array] = {}
    for name, layer in called.items():
        tensors[f"{PREFIX}{name}.lora_A.weight"] = np.ascontiguousarray(layer.lora_A.data.T)
        tensors[f"{PREFIX}{name}.lora_B.weight"] = np.ascontiguousarray(layer.lora_B.data.T)
    path = Path(folder)
    path.mkdir(exist_ok=True)
    save_tensors(tensors, path / WEIGHTS, {"format": "pt"})
    with replacing(path / CONFIG) as draft:
        draft.write_text(json.dumps(_describe(called), indent=2, sort_keys=True) + "\n", encoding="utf-8")


def load_lora(model: Module, folder: str | os.PathLike[str], names: Mapping[str, str] | None = None) -> Named:
    """Freeze a model and give it the adapters in `folder`; returns their parameters by name, as `add_lora` does.

    The files are those of `save_lora`, or of the peft library for a model whose layers `names` translates. All fits or
    nothing is changed: raises FileNotFoundError and FileFormatError for files that are missing, damaged, or hold more
    than adapters of this kind, and AdapterError for adapters of another model, and for a model that has some.
    """
    refuse_adapted("load_lora", model)
    path = Path(folder)
    config = _read_config(path / CONFIG)
    pairs = _pairs(path / WEIGHTS, load_tensors(path / WEIGHTS))
    modules = dict(model.named_modules())
    called = {_rename("load_lora", name, names, strict=False): name for name, module in modules.items()}
    wrong = []
    for name, (down, up) in pairs.items():
        layer = modules.get(called.get(name, ""))
        if name not in called or layer is None or not is_linear(layer):
            wrong.append(f"{name}: the model has no linear layer of this name")
        elif (down.shape[1], up.shape[0]) != sizes_of(layer):
            wrong.append(f"{name}: the adapter is for {(down.shape[1], up.shape[0])}, the layer is {sizes_of(layer)}")
    if wrong:
        more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise AdapterError(f"load_lora: {path} holds adapters of another model\n{wrong[0]}{more}")
    made = {}
    for name, (down, up) in pairs.items():
        scaling = _scaling(config, name, len(down))
        with init.undrawn():
            layer = LoRALinear(modules[called[name]], len(down), scaling, float(config.get("lora_dropout") or 0.0))
        layer.load_state_dict({"lora_A": down.T, "lora_B": up.T}, strict=False)
        made[called[name]] = layer
    return attach("load_lora", model, made)


def _describe(layers: Mapping[str, LoRALinear]) -> dict[str, Any]:
    """The configuration: the usual rank and alpha, and the others by name."""
    alphas = {name: _alpha(layer) for name, layer in layers.items()}
    rank = Counter(layer.rank for layer in layers.values()).most_common(1)[0][0]
    alpha = Counter(alphas.values()).most_common(1)[0][0]
    return {
        "peft_type": "LORA", "task_type": None, "base_model_name_or_path": None, "inference_mode": True,
        "r": rank, "lora_alpha": alpha, "lora_dropout": max(layer.dropout.p for layer in layers.values()),
        "rank_pattern": {name: layer.rank for name, layer in layers.items() if layer.rank != rank},
        "alpha_pattern": {name: each for name, each in alphas.items() if each != alpha},
        "target_modules": list(layers), "bias": "none", "fan_in_fan_out": False, "init_lora_weights": True,
        "modules_to_save": None, "use_rslora": False, "use_dora": False,
    }  # fmt: skip


def _alpha(layer: LoRALinear) -> float:
    """The alpha that divided by the rank is the layer's scaling, bit for bit, and short where there is a short one."""
    product = layer.scaling * layer.rank
    near = (round(product, 6), product, math.nextafter(product, 0), math.nextafter(product, math.inf))
    return next((alpha for alpha in near if alpha / layer.rank == layer.scaling), product)


def _read_config(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"load_lora: there is no file {path}; name the folder that save_lora wrote")
    if path.stat().st_size > LARGEST_CONFIG:
        raise FileFormatError(f"load_lora: {path} has {path.stat().st_size:,} bytes; that is not a configuration")
    try:
        config = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"load_lora: {path} is not JSON: {error}; copy it again") from None
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        raise FileFormatError(f"load_lora: {path} does not describe LoRA adapters; its peft_type must be 'LORA'")
    strange = [name for name in UNKNOWN if config.get(name)] + ["bias"] * (config.get("bias", "none") != "none")
    if strange:
        raise FileFormatError(
            f"load_lora: {path} asks for {', '.join(strange)}, which is not known here; nothing is read"
        )
    patterns = config.get("alpha_pattern") or {}
    if not isinstance(patterns, dict):
        raise FileFormatError(f"load_lora: {path}: alpha_pattern is {patterns!r}; it is a number for each name")
    for number in (config.get("lora_alpha"), config.get("lora_dropout") or 0.0, *patterns.values()):
        if isinstance(number, bool) or not isinstance(number, int | float) or not 0 <= number <= sys.float_info.max:
            raise FileFormatError(
                f"load_lora: {path} says {number!r} where a number is needed; save the adapters again"
            )
    if not 0 <= (config.get("lora_dropout") or 0.0) <= 1:
        raise FileFormatError(f"load_lora: {path}: lora_dropout is {config['lora_dropout']}; it is a probability")
    return config


def _pairs(path: Path, tensors: Mapping[str, Array]) -> dict[str, tuple[Array, Array]]:
    """lora_A (rank, in) and lora_B (out, rank) by the name of the layer."""
    found: dict[str, dict[str, Array]] = {}
    for key, array in tensors.items():
        match = KEY.fullmatch(key)
        if match is None or array.ndim != 2:
            raise FileFormatError(f"load_lora: {path} holds {key} {array.shape}, which is no adapter of a linear layer")
        found.setdefault(match[1], {})[match[2]] = array
    for name, pair in found.items():
        shapes = {kind: array.shape for kind, array in pair.items()}
        if len(pair) != 2 or shapes["lora_A"][0] != shapes["lora_B"][1] or not shapes["lora_A"][0]:
            raise FileFormatError(f"load_lora: {path}: {name} has {shapes}; lora_A is (rank, in), lora_B (out, rank)")
    if not found:
        raise FileFormatError(f"load_lora: {path} holds no adapters")
    return {name: (pair["lora_A"], pair["lora_B"]) for name, pair in found.items()}


def _scaling(config: Mapping[str, Any], name: str, rank: int) -> float:
    patterns = config.get("alpha_pattern") or {}
    own = [alpha for key, alpha in patterns.items() if name == key or name.endswith(f".{key}")]
    alpha = float(own[0] if own else config["lora_alpha"])
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _rename(owner: str, name: str, names: Mapping[str, str] | None, strict: bool = True) -> str:
    """What `names` calls a layer; its own name without `names`."""
    if names is None:
        return name
    for ours, theirs in names.items():
        pattern = re.escape(ours).replace(re.escape("{i}"), r"(\d+)")
        if match := re.fullmatch(pattern, name):
            return theirs.replace("{i}", match[1]) if match.groups() else theirs
    if strict:
        raise AdapterError(f"{owner}: names does not say what {name} is called; add it, with {{i}} for a number")
    return f"{name} (which names leaves out)"
