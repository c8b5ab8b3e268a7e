"""Generation with acceleration: beside transformers, beside the bandwidth of the memory, and with weights in few bits.

A token of a large model reads every weight once, so the time that all cores take to read as many bytes is its bound.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from .decode import NEW, PROMPT, SIZES, ours, peer
from .entry import Entry, Step
from .gpt import Size, our_model

GPT2 = SIZES["decode-gpt2-small"][0]
TARGETS = {"decode-4x128": 1 / 6, "decode-6x384": 1 / 3.5, "decode-gpt2-small": 1 / 1.2}


def accelerated(size: Size) -> Step:
    from tinytorch.acceleration import enable_acceleration

    enable_acceleration()
    return ours(size)


def quantized(size: Size, bits: int, group_size: int | None = None) -> Step:
    """The same with weights of a few bits. It may choose other tokens, so that nothing is compared."""
    from tinytorch.acceleration import enable_acceleration
    from tinytorch.kvcache import enable_kv_cache
    from tinytorch.quantization import quantize

    enable_acceleration()
    model: Any = quantize(our_model(size).eval(), bits, group_size)
    cache = enable_kv_cache(model)

    def step() -> None:
        cache.reset()
        model.generate(PROMPT, NEW, temperature=0)

    return step


def unchecked(make: Any) -> Step:
    """A step whose result is not compared."""
    run = make()

    def step() -> None:
        run()

    return step


def reading(size: Size) -> Step:
    """Read as many bytes as there are weights, but for the positions, once for each token, by all cores."""
    from tinytorch.acceleration import compiled, enable_acceleration

    enable_acceleration()
    from tinytorch.acceleration.operations import sum_of
    from tinytorch.acceleration.programs import Program, crew
    from tinytorch.acceleration.vectors import integer, put

    @compiled
    def read(start: Any, stop: Any, a: Any) -> Any:
        for i in range(start, stop):
            put(integer(a, 1), i, sum_of(integer(a, 0) + 4 * i * 65536, 65536))

    model = our_model(size)
    count = (model.num_parameters() - model.positional.weight.size) // 65536
    numbers, sums, program = np.ones(count * 65536, np.float32), np.empty(count, np.float32), Program()
    program.add(read, count, 1, numbers, sums)
    table = program.table()

    def step() -> None:
        for _ in range(NEW):
            crew.run(table)

    return step


float32 = partial(accelerated, GPT2)
int8, int4 = partial(quantized, GPT2, 8), partial(quantized, GPT2, 4, 32)
ENTRIES = [
    *[
        Entry(
            f"compiled-{name}", partial(accelerated, SIZES[name][0]), partial(peer, SIZES[name][0]),
            "transformers, cached", target, calls=NEW, tolerance=0.0,
        )
        for name, target in TARGETS.items()
    ],
    Entry(
        "compiled-bandwidth", partial(unchecked, float32), partial(reading, GPT2), "reading as many bytes", 1 / 0.9,
        calls=NEW,
    ),
    Entry("compiled-int8", int8, partial(unchecked, float32), "own float32", 1 / 2.2, calls=NEW),
    Entry("compiled-int4", int4, int8, "own int8", 1 / 1.3, calls=NEW),
]  # fmt: skip
