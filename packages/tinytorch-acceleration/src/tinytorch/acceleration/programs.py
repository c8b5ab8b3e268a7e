"""Programs: operations on numbers in memory that all cores go through together, without the interpreter.

For one token, an operation takes a few microseconds, less than it takes to call another thread from Python. So a
whole list of operations is handed to compiled code at once. Each operation is cut into blocks, and the cores take
blocks in turns until none is left, then go on with the next operation. The thread that runs a program takes blocks too
and waits for nobody who has not taken one: a helper that is late, or asleep, delays nothing. Which blocks there are
depends on the sizes alone, and so do all results.

A helper that finds no work looks again for a while, `IDLE` times, and then sleeps until the next program wakes it.
"""

from __future__ import annotations

import functools
import os
import platform
import threading
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types

from tinytorch.tensor import Array

from .compiling import Compiled, compiled
from .team import usable_cores
from .vectors import BITS, at, emit, instruction, integer

IDLE = 4000
"""How often a helper looks for work before it sleeps; a look takes some 50 nanoseconds."""

STATE, DONE, CURRENT, ASLEEP = 0, 8, 16, 24  # places in the board, each in its own line of the cache
COUNT, BLOCK, BLOCKS, FUNCTION, ARGUMENTS = range(5)  # columns of a program; the arguments are behind
LEFT = (1 << 32) - 1  # the lower half of the state: how many blocks are left; the upper half counts operations

WORD = BITS[64]


@instruction
def look(context: Any, p: Any, i: Any) -> Any:
    """The int64 number `i`, which other threads write."""
    return emit(types.int64, (types.int64,) * 2, lambda b, p, i: b.load_atomic(at(b, p, i, WORD), "acquire", 8))


@instruction
def publish(context: Any, p: Any, i: Any, x: Any) -> Any:
    """Write int64 number `i` for other threads, after everything that was written before. Returns x."""

    def write(b: Any, p: Any, i: Any, x: Any) -> Any:
        b.store_atomic(x, at(b, p, i, WORD), "release", 8)
        return x

    return emit(types.int64, (types.int64,) * 3, write)


@instruction
def replace(context: Any, p: Any, i: Any, old: Any, new: Any) -> Any:
    """Write `new` where number `i` is `old`; whether it was."""

    def write(b: Any, p: Any, i: Any, old: Any, new: Any) -> Any:
        return b.extract_value(b.cmpxchg(at(b, p, i, WORD), old, new, "acq_rel", "acquire"), 1)

    return emit(types.boolean, (types.int64,) * 4, write)


@instruction
def count_up(context: Any, p: Any, i: Any) -> Any:
    """Add 1 to number `i`, which other threads do too; what it was."""
    return emit(
        types.int64, (types.int64,) * 2,
        lambda b, p, i: b.atomic_rmw("add", at(b, p, i, WORD), ir.Constant(WORD, 1), "acq_rel"),
    )  # fmt: skip


@instruction
def call(context: Any, function: Any, start: Any, stop: Any, arguments: Any) -> Any:
    """Call the compiled function at this address. Returns `start`."""

    def write(b: Any, function: Any, start: Any, stop: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), [WORD] * 3)
        b.call(b.inttoptr(function, kind.as_pointer()), [start, stop, arguments])
        return start

    return emit(types.int64, (types.int64,) * 4, write)


@instruction
def rest(context: Any) -> Any:
    """Tell the processor that this thread only waits, so that another one on the same core may run faster."""

    def write(b: Any) -> Any:
        machine = platform.machine()
        if machine in ("x86_64", "AMD64"):
            b.call(b.module.declare_intrinsic("llvm.x86.sse2.pause", (), ir.FunctionType(ir.VoidType(), [])), [])
        elif machine in ("aarch64", "arm64"):
            hint = b.module.declare_intrinsic("llvm.aarch64.hint", (), ir.FunctionType(ir.VoidType(), [BITS[32]]))
            b.call(hint, [ir.Constant(BITS[32], 1)])  # yield
        return ir.Constant(WORD, 0)

    return emit(types.int64, (), write)


@instruction
def real(context: Any, p: Any, i: Any) -> Any:
    """The argument `i`, a float64 number, as float32."""

    def write(b: Any, p: Any, i: Any) -> Any:
        return b.fptrunc(b.load(at(b, p, i, ir.DoubleType()), align=8), ir.FloatType())

    return emit(types.float32, (types.int64, types.int64), write)


@compiled
def take(board: Any, state: Any) -> Any:
    """Take a block of the current operation, of which there are some left by `state`, and compute it."""
    if not replace(board, STATE, state, state - 1):
        return
    operation = integer(board, CURRENT)  # stands until all blocks are done, and so this one
    count, block = integer(operation, COUNT), integer(operation, BLOCK)
    start = ((state & LEFT) - 1) * block
    call(integer(operation, FUNCTION), start, min(count, start + block), operation + 8 * ARGUMENTS)
    count_up(board, DONE)


@compiled
def run_alone(program: Any, length: Any, width: Any) -> Any:
    """Go through a program, each operation in one piece."""
    for i in range(length):
        operation = program + 8 * i * width
        call(integer(operation, FUNCTION), 0, integer(operation, COUNT), operation + 8 * ARGUMENTS)


@compiled
def run_together(board: Any, program: Any, length: Any, width: Any) -> Any:
    """Go through a program while helpers may take part."""
    for i in range(length):
        operation = program + 8 * i * width
        blocks = integer(operation, BLOCKS)
        if blocks < 2:
            call(integer(operation, FUNCTION), 0, integer(operation, COUNT), operation + 8 * ARGUMENTS)
            continue
        publish(board, CURRENT, operation)
        publish(board, DONE, 0)
        state = (look(board, STATE) | LEFT) + 1 + blocks  # the next operation
        publish(board, STATE, state)
        while state & LEFT:
            take(board, state)
            state = look(board, STATE)
        while look(board, DONE) < blocks:
            rest()


@compiled
def help_out(board: Any, asleep: Any, idle: Any) -> Any:
    """Take blocks of whatever is current, until there was none for a while; then say so at place `asleep`."""
    looks = 0
    while looks < idle:
        state = look(board, STATE)
        if state & LEFT:
            take(board, state)
            looks = 0
        else:
            rest()
            looks += 1
    publish(board, asleep, 1)


@functools.cache
def address_of(operation: Compiled) -> int:
    """Where the machine code of an operation is; it is compiled now, if it was not."""
    found = operation.dispatcher.get_compile_result(types.void(types.int64, types.int64, types.int64))
    address: int = found.library.get_pointer_to_function(found.fndesc.llvm_cfunc_wrapper_name)
    return address


class Program:
    """A list of operations, as a table of integers that compiled code reads."""

    def __init__(self) -> None:
        self.lines: list[tuple[int, ...]] = []
        self.held: list[Any] = []  # what the addresses point to

    def add(self, operation: Compiled, count: int, block: int, *arguments: Any) -> int:
        """Append an operation on `count` rows, `block` at a time; its line. Arguments are arrays, numbers and None."""
        self.held += [operation, *arguments]
        blocks = -(-count // block)
        self.lines.append((count, block, blocks, address_of(operation), *map(as_word, arguments)))
        return len(self.lines) - 1

    def table(self) -> Array:
        """The operations, (lines, columns) int64."""
        width = max(map(len, self.lines))
        return np.array([(*line, *[0] * (width - len(line))) for line in self.lines], np.int64)


def as_word(x: Any) -> int:
    """An argument in 64 bits: the address of an array, a whole number, the bits of a float64, 0 for None."""
    if isinstance(x, np.ndarray):
        return x.ctypes.data
    if isinstance(x, float):
        return int(np.float64(x).view(np.int64))
    return 0 if x is None else int(x)


class Crew:
    """The threads that run programs: the one that asks, and helpers for the other cores."""

    def __init__(self, cores: int | None = None) -> None:
        helpers = (usable_cores() if cores is None else cores) - 1
        self.board: Array = np.zeros(ASLEEP + 8 * helpers, np.int64)
        self.beds = range(ASLEEP, len(self.board), 8)
        self.calls = [threading.Lock() for _ in self.beds]  # each held while nobody calls
        self.busy = threading.Lock()
        self.hired = False

    def run(self, program: Array) -> None:
        """Go through a program, (operations, columns) int64.

        A thread goes alone where nothing can be shared, and while another one has the helpers.
        """
        where, (length, width) = program.ctypes.data, program.shape
        together = bool(self.calls) and program[:, BLOCKS].max() > 1
        if not together or not self.busy.acquire(blocking=False):
            return run_alone(where, length, width)
        try:
            self._wake()
            run_together(self.board.ctypes.data, where, length, width)
        finally:
            self.busy.release()

    def _wake(self) -> None:
        if not self.hired:
            self._hire()
        for bed, call in zip(self.beds, self.calls, strict=True):
            if self.board[bed]:
                self.board[bed] = 0
                call.release()

    def _hire(self) -> None:
        self.hired = True
        for i, bed in enumerate(self.beds):
            self.board[bed] = 1
            self.calls[i] = call = threading.Lock()
            call.acquire()
            threading.Thread(target=self._help, args=(bed, call), name="tinytorch-program", daemon=True).start()

    def _help(self, bed: int, call: threading.Lock) -> None:
        while call.acquire():
            help_out(self.board.ctypes.data, bed, IDLE)


crew = Crew()
"""The threads of this process."""

if hasattr(os, "register_at_fork"):  # threads do not survive a fork, and a lock may have been held
    os.register_at_fork(after_in_child=lambda: crew.__init__(len(crew.calls) + 1))  # type: ignore[misc]
