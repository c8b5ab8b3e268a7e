"""Sixteen float32 numbers at a time, and memory by its address, for operations of a `Program`.

Numba compiles loops over numbers, and whether they become vector instructions is up to the compiler, which may not
change the order of a sum. Here the order is part of the kernel: it keeps sums in lanes, sixteen numbers that a
processor adds in one instruction (AVX-512), two (AVX) or four (NEON, SSE), and adds them up at the end, always the same
way. What differs between processors is only whether a product is rounded before it is added (`multiply_add`).

All functions are for the inside of compiled code. `p` is the address of the first number of contiguous memory and `i`
counts its numbers; nobody checks them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core.datamodel.models import PrimitiveModel
from numba.extending import intrinsic, register_model

WIDTH = 16
"""How many lanes there are."""

BITS = {size: ir.IntType(size) for size in (8, 32, 64)}
FLOAT = ir.FloatType()
FLOATS = ir.VectorType(FLOAT, WIDTH)
INTEGERS = ir.VectorType(BITS[32], WIDTH)
CONTRACT = ("contract",)  # LLVM may round a product and a sum once instead of twice


class Lanes(types.Type):
    """Sixteen float32 numbers, in one register or a few."""

    def __init__(self) -> None:
        super().__init__(name="Lanes")


@register_model(Lanes)
class LanesModel(PrimitiveModel):
    def __init__(self, manager: Any, lanes: Lanes) -> None:
        super().__init__(manager, lanes, FLOATS)  # type: ignore[no-untyped-call]


floats = Lanes()
address = index = types.int64
pair: Any = types.UniTuple


def instruction(define: Callable[..., Any]) -> Any:
    """Numba's `intrinsic`, which calls `define(context, *types)` for what `emit` returns."""
    return intrinsic(define)


def emit(result: Any, arguments: tuple[Any, ...], write: Callable[..., Any]) -> Any:
    """What an intrinsic of Numba returns: its signature, and the function that calls `write(builder, *values)`.

    Where the result is a tuple, `write` returns the list of its values.
    """

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        out = write(builder, *values)
        return context.make_tuple(builder, result, out) if isinstance(result, types.BaseTuple) else out

    return result(*arguments), generate


def at(builder: Any, p: Any, i: Any, number: Any, whole: Any = None) -> Any:
    """Where number `i` is, as the place of a `whole` vector of them where that is given."""
    place = builder.gep(builder.inttoptr(p, number.as_pointer()), [i])
    return place if whole is None else builder.bitcast(place, whole.as_pointer())


def bytes_at(builder: Any, p: Any, i: Any) -> Any:
    """The sixteen bytes from byte `i` on."""
    return builder.load(at(builder, p, i, BITS[8], ir.VectorType(BITS[8], WIDTH)), align=1)


def pick(builder: Any, vector: Any, places: Any) -> Any:
    """The lanes of a vector in these places."""
    chosen = ir.Constant(ir.VectorType(BITS[32], len(places)), list(places))
    return builder.shuffle_vector(vector, ir.Constant(vector.type, ir.Undefined), chosen)


def same(kind: Any, x: float) -> Any:
    """A constant in all lanes."""
    return ir.Constant(kind, [x] * WIDTH)


def fold(builder: Any, join: Callable[..., Any], vector: Any) -> Any:
    """All lanes in one: each half of them joined with the other."""
    while (half := vector.type.count // 2) > 0:
        vector = join(pick(builder, vector, range(half)), pick(builder, vector, range(half, 2 * half)))
    return builder.extract_element(vector, ir.Constant(BITS[32], 0))


def larger(builder: Any) -> Callable[..., Any]:
    return lambda x, y: builder.select(builder.fcmp_ordered(">", x, y), x, y)


@instruction
def load(context: Any, p: Any, i: Any) -> Any:
    """The float32 numbers from `i` to `i + 16`."""
    return emit(floats, (address, index), lambda b, p, i: b.load(at(b, p, i, FLOAT, FLOATS), align=4))


@instruction
def store(context: Any, p: Any, i: Any, x: Any) -> Any:
    """Write sixteen float32 numbers. Returns `i`."""

    def write(b: Any, p: Any, i: Any, x: Any) -> Any:
        b.store(x, at(b, p, i, FLOAT, FLOATS), align=4)
        return i

    return emit(index, (address, index, floats), write)


@instruction
def number(context: Any, p: Any, i: Any) -> Any:
    """The float32 number `i`."""
    return emit(types.float32, (address, index), lambda b, p, i: b.load(at(b, p, i, FLOAT), align=4))


@instruction
def put(context: Any, p: Any, i: Any, x: Any) -> Any:
    """Write float32 number `i`. Returns `i`."""

    def write(b: Any, p: Any, i: Any, x: Any) -> Any:
        b.store(x, at(b, p, i, FLOAT), align=4)
        return i

    return emit(index, (address, index, types.float32), write)


@instruction
def integer(context: Any, p: Any, i: Any) -> Any:
    """The int64 number `i`."""
    return emit(types.int64, (address, index), lambda b, p, i: b.load(at(b, p, i, BITS[64]), align=8))


@instruction
def byte(context: Any, p: Any, i: Any) -> Any:
    """The int8 number `i`, as int64; as uint8 it is `byte(p, i) & 255`."""
    return emit(types.int64, (address, index), lambda b, p, i: b.sext(b.load(at(b, p, i, BITS[8])), BITS[64]))


@instruction
def splat(context: Any, x: Any) -> Any:
    """One number in all lanes."""

    def write(b: Any, x: Any) -> Any:
        first = b.insert_element(ir.Constant(FLOATS, ir.Undefined), x, ir.Constant(BITS[32], 0))
        return pick(b, first, [0] * WIDTH)

    return emit(floats, (types.float32,), write)


@instruction
def multiply_add(context: Any, x: Any, y: Any, z: Any) -> Any:
    """x * y + z, rounded once by a processor that can, and twice by others."""
    return emit(floats, (floats,) * 3, lambda b, x, y, z: b.fadd(b.fmul(x, y, flags=CONTRACT), z, flags=CONTRACT))


@instruction
def plus(context: Any, x: Any, y: Any) -> Any:
    """x + y."""
    return emit(floats, (floats, floats), lambda b, x, y: b.fadd(x, y))


@instruction
def maximum(context: Any, x: Any, y: Any) -> Any:
    """The larger of each two; y where x is NaN."""
    return emit(floats, (floats, floats), lambda b, x, y: larger(b)(x, y))


@instruction
def total(context: Any, x: Any) -> Any:
    """The sum of all lanes."""
    return emit(types.float32, (floats,), lambda b, x: fold(b, b.fadd, x))


@instruction
def largest(context: Any, x: Any) -> Any:
    """The largest of all lanes."""
    return emit(types.float32, (floats,), lambda b, x: fold(b, larger(b), x))


@instruction
def load_bytes(context: Any, p: Any, i: Any) -> Any:
    """The int8 numbers from `i` to `i + 16`, as float32."""
    return emit(floats, (address, index), lambda b, p, i: b.sitofp(b.sext(bytes_at(b, p, i), INTEGERS), FLOATS))


@instruction
def load_nibbles(context: Any, p: Any, i: Any) -> Any:
    """The uint8 numbers from `i` to `i + 16` as float32, twice: their lower four bits, and all eight."""

    def write(b: Any, p: Any, i: Any) -> Any:
        whole = b.zext(bytes_at(b, p, i), INTEGERS)
        return [b.sitofp(x, FLOATS) for x in (b.and_(whole, same(INTEGERS, 15)), whole)]

    return emit(pair(floats, 2), (address, index), write)
