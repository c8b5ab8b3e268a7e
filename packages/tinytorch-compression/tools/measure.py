"""What a smaller GPT costs: parameters, FLOPs and the time of a forward, each against the whole model.

Turns are interleaved and the minimum counts, so that other work on the machine disturbs little. `--full` measures a
model of 6 layers, 384 wide.

    python packages/tinytorch-compression/tools/measure.py [--full]
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from copy import deepcopy
from time import process_time_ns
from typing import Any

import numpy as np

from tinytorch.autograd import no_grad
from tinytorch.compression import add_lora, factorize, merge_lora, prune, structured_prune
from tinytorch.profiler import Profiler
from tinytorch.transformer import GPT

CHANGES: dict[str, Callable[[GPT], Any]] = {
    "whole": lambda model: None,
    "half of the weights zero": lambda model: prune(model, 0.5),
    "half of the neurons": lambda model: structured_prune(model, 0.5, "neurons"),
    "half of the heads": lambda model: structured_prune(model, 0.5, "heads"),
    "half of both": lambda model: (structured_prune(model, 0.5, "neurons"), structured_prune(model, 0.5, "heads")),
    "rank an eighth of the width": lambda model: factorize(model, model.embed_dim // 8),
    "adapters of rank 8": lambda model: add_lora(model, 8),
    "the same, merged": lambda model: (add_lora(model, 8), merge_lora(model)),
}


def main(full: bool) -> None:
    D, T, turns = (384, 256, 20) if full else (128, 128, 40)
    whole = GPT(vocab_size=1000, embed_dim=D, num_layers=6 if full else 4, num_heads=8, max_seq_len=T).eval()
    models = {name: deepcopy(whole) for name in CHANGES}
    for name, change in CHANGES.items():
        change(models[name])
    ids, profiler = np.zeros((1, T), np.int64), Profiler()
    times: dict[str, list[int]] = {name: [] for name in models}
    with no_grad():
        for _ in range(turns):
            for name, model in models.items():
                start = process_time_ns()
                model(ids)
                times[name].append(process_time_ns() - start)
    least = {name: min(each) / 1e6 for name, each in times.items()}
    print(f"{'':30} parameters      MFLOP   ms of processor time  ratio")
    for name, model in models.items():
        flops = profiler.count_flops(model, (1, T), np.int64) / 1e6
        cost = f"{least[name]:>12.2f} {least[name] / least['whole']:>15.2f}"
        print(f"{name:30} {model.num_parameters():>10,} {flops:>10.0f} {cost}")


if __name__ == "__main__":
    main("--full" in sys.argv[1:])
