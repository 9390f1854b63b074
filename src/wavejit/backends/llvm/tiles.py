"""Registers of tiles: the inputs of many streams times the weights of a vector of rows, in one instruction.

A tile has up to 16 rows of 64 bytes. Of inputs it has a row a stream; of weights a row a step of columns, which is a
vector as `pack_weights` lays it; of sums a row a stream, a word for each row of the product.
"""

from __future__ import annotations

from dataclasses import dataclass

from wavejit.backends.llvm.builder import I8, Function, Type, Value

WIDTH = 64  # bytes of a row
ROWS = 16  # of a tile: streams, or steps of columns
WORDS = ROWS * WIDTH // 4  # of a tile
# Registers by their numbers. Those of one kind take turns, so that one is loaded while others are multiplied.
SUMS, INPUTS, WEIGHTS = (0, 1, 2, 3), (4, 5), (6, 7)
REGISTERS = len(SUMS) + len(INPUTS) + len(WEIGHTS)


@dataclass(frozen=True)
class Tiles:
    """A processor's tile registers.

    Attributes:
        least: streams that they pay for: fewer are as fast by vectors.
        smallest: product that they pay for, in vectors of weights.
    """

    least: int
    smallest: int

    def configure(self, k: Function, streams: Value) -> None:
        """Tiles for so many streams, at most 16; registers hold what is loaded until `release`."""
        at = k.room(WIDTH // 4)
        k.store(k.constant(Type("i8", WIDTH), 0), at, align=WIDTH)
        k.store(k.constant(I8, 1), at)  # the only kind of configuration that there is
        k.store(k.constant(Type("i16", REGISTERS), WIDTH), k.at(at, 16, "i8"), align=16)
        for register in range(REGISTERS):
            rows = k.constant(I8, ROWS) if register in WEIGHTS else streams.convert("trunc", "i8")
            k.store(rows, at, 48 + register, align=1)
        k.call_intrinsic("llvm.x86.ldtilecfg", at)

    def release(self, k: Function) -> None:
        """Nothing is kept in the registers from here on: the system has less to save."""
        k.call_intrinsic("llvm.x86.tilerelease")

    def zero(self, k: Function, register: int) -> None:
        """A sum before its first product."""
        k.call_intrinsic("llvm.x86.tilezero", k.constant(I8, register))

    def load(self, k: Function, register: int, at: Value, stride: int = WIDTH) -> None:
        """Rows that lie `stride` bytes apart."""
        k.call_intrinsic("llvm.x86.tileloadd64", k.constant(I8, register), at, k.int64(stride))

    def store(self, k: Function, register: int, at: Value) -> None:
        """Rows one behind the other."""
        k.call_intrinsic("llvm.x86.tilestored64", k.constant(I8, register), at, k.int64(WIDTH))

    def multiply(self, k: Function, total: int, inputs: int, weights: int) -> None:
        """Add to a sum the products of inputs, bytes without a sign, by weights, bytes with one."""
        k.call_intrinsic("llvm.x86.tdpbusd", *(k.constant(I8, register) for register in (total, inputs, weights)))

    def stay_awake(self, k: Function) -> None:
        """Multiply something that nobody asks for: left alone for some 300 ns, the unit takes as long to wake up."""
        self.multiply(k, SUMS[0], INPUTS[0], WEIGHTS[0])


AMX = Tiles(least=5, smallest=64)
