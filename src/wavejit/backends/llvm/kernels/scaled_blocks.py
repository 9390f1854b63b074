"""Products whose weights have a scale for each row and block of columns.

Each block is added up in integers, beginning with what an offset of its inputs amounts to, then scaled into float32
totals. The inputs' scale is the caller's to multiply in, once for all blocks. `passes/pack_weights.py` says how the
word before a block is made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from wavejit.backends.llvm.builder import Function, Type, Value
from wavejit.backends.llvm.kernels.columns import Columns

Sums = tuple[list[Value], Value]  # a vector for each vector of rows, and where the weights end

UPPER_HALF = -0x10000


@dataclass(frozen=True)
class ScaledBlocks:
    """How the blocks of one kernel are read.

    Attributes:
        block: columns of a block.
        offset: of the inputs, a power of two, or 0.
        loads: of weights that a round of the loop has at least.
        multiply: integer sums plus products, from sums, where weights and inputs lie, and how many columns.
    """

    k: Function
    columns: Columns
    block: int
    offset: int
    loads: int
    multiply: Callable[[list[Value], Value, Value, int], Sums]

    def product(self, totals: list[Value], weights: Value, x: Value, count: int) -> Sums:
        """Add `weights @ x` over `count` columns to the totals."""
        steps = self.block // self.columns.count
        whole, rest = divmod(count, self.block)
        in_a_round = -(-self.loads // (len(totals) * (steps + 1)))
        if whole >= 2 * in_a_round:
            with self.k.loop(whole // in_a_round, carry=[weights, x, *totals]) as loop:
                weights, x, *totals = loop.carried
                for i in range(in_a_round):
                    totals, weights = self.add(totals, weights, self._inputs(x, i), self.block)
                loop.next(weights, self._inputs(x, in_a_round), *totals)
            weights, x, *totals = loop.results
            whole %= in_a_round
        for i in range(whole):
            totals, weights = self.add(totals, weights, self._inputs(x, i), self.block)
        return self.add(totals, weights, self._inputs(x, whole), rest) if rest else (totals, weights)

    def add_block(self, totals: list[Value], weights: Value, x: Value) -> list[Value]:
        """Add one whole block, as a sparse product has them."""
        return self.add(totals, weights, x, self.block)[0]

    def bytes(self, vectors: int) -> int:
        """Of a whole block of so many vectors of rows: a word before its columns."""
        return vectors * self.k.lanes * (4 + self.block // self.columns.count * self.columns.bytes)

    def add(self, totals: list[Value], weights: Value, x: Value, count: int) -> Sums:
        """Add the `count` columns of one block."""
        k, words = self.k, Type("i32", self.k.lanes)
        sums = [k.constant(words, 0)] * len(totals)
        heads = [k.load(weights, i * k.lanes, words, align=4 * k.lanes) for i in range(len(totals))]
        if self.offset:  # times the lower half
            shift = k.constant(words, 17 - self.offset.bit_length())
            lower = [head << 16 for head in heads]
            sums = [k.emit(f"ashr {words} {half.name}, {shift.name}", words) for half in lower]
        sums, weights = self.multiply(sums, k.at(weights, len(heads) * k.lanes), x, count)
        added = [
            k.multiply_add(s.convert("sitofp", "float"), k.bitcast(head & UPPER_HALF, "float"), total)
            for s, head, total in zip(sums, heads, totals, strict=True)
        ]
        return added, weights

    def _inputs(self, x: Value, block: int) -> Value:
        """Where the inputs of a block lie."""
        return self.k.at(x, block * self.block // self.columns.count * self.columns.input_bytes, "i8")
