"""Matrix-vector products: `activation(sum of W @ x + bias + sum of addends)`, float32."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain

from wavejit.backends.llvm.builder import F32, PTR, Function, Value
from wavejit.backends.llvm.functions import Accuracy
from wavejit.backends.llvm.isa import ISA
from wavejit.backends.llvm.kernels.elementwise import apply
from wavejit.ir import ops
from wavejit.ir.layout import row_tiles

LOADS_A_ROUND = 128  # of weights in an unrolled round; with 64 and fewer, the L2 delivers half (docs/performance.md)


@dataclass(frozen=True)
class AffineKernel:
    """What one kernel is written for; layers of one shape share it."""

    rows: int
    columns: tuple[int, ...]  # of each term; terms whose inputs lie side by side are one
    bias: bool
    addends: int
    activation: ops.Function

    @property
    def name(self) -> str:
        plus = ("_bias" if self.bias else "") + (f"_add{self.addends}" if self.addends else "")
        return f"affine_{self.rows}x{'_'.join(map(str, self.columns))}{plus}_{self.activation}"


def affine(kernel: AffineKernel, isa: ISA, accuracy: Accuracy) -> Function:
    """Parameters: packed weights, out `(rows,)`, one pointer for each term's input, one for each addend.

    Rows lie along the vectors: each column of weights is multiplied by its input, broadcast, into totals that
    stay in registers for a whole tile of rows. The weights are read once, front to back.
    """
    terms = [f"x{i}" for i in range(len(kernel.columns))]
    addends = [f"addend{i}" for i in range(kernel.addends)]
    k = Function(kernel.name, [(name, PTR) for name in ("weights", "out", *terms, *addends)], isa.lanes, isa.fused)

    def tile(weights: Value, first_row: Value | int, vectors: int) -> Value:
        """One tile of rows; returns where its weights end."""
        totals = [k.splat(0.0)] * vectors
        if kernel.bias:
            totals, weights = column_of(k, weights, vectors)
        for addend in addends:
            rows = k.at(k[addend], first_row)
            totals = [total + k.load(rows, i * k.lanes) for i, total in enumerate(totals)]
        for name, columns in zip(terms, kernel.columns, strict=True):
            totals, weights = product(k, isa, totals, weights, k[name], columns)
        out = k.at(k["out"], first_row)
        for i, total in enumerate(totals):
            k.store(apply(k, kernel.activation, total, accuracy), out, i * k.lanes, align=4 * k.lanes)
        return weights

    tiles = row_tiles(kernel.rows, isa.lanes, isa.accumulators)
    full = [t for t in tiles if len(t) == len(tiles[0])]
    height, weights = len(full[0]), k["weights"]
    if len(full) == 1:
        weights = tile(weights, 0, height // isa.lanes)
    else:
        with k.loop(len(full), carry=[weights]) as loop:
            loop.next(tile(loop.carried[0], loop.index * height, height // isa.lanes))
        weights = loop.results[0]
    for rest in tiles[len(full) :]:
        tile(weights, rest.start, len(rest) // isa.lanes)
    return k


def product(
    k: Function, isa: ISA, totals: list[Value], weights: Value, x: Value, columns: int
) -> tuple[list[Value], Value]:
    """Add `weights @ x` to the totals; returns them and where the weights end."""
    vectors = len(totals)
    # With few rows a column alone would wait for the last one's additions: several columns get totals of their own.
    chains = max(1, min(isa.accumulators // vectors, columns))
    unrolled = max(chains, LOADS_A_ROUND // vectors // chains * chains)
    parts = [totals] + [[k.splat(0.0)] * vectors for _ in range(chains - 1)]

    def columns_at(weights: Value, x: Value, count: int) -> Value:
        for j in range(count):
            inputs = k.broadcast(k.load(x, j, F32))
            column, _ = column_of(k, weights, vectors, j)
            part = parts[j % chains]
            parts[j % chains] = [k.multiply_add(w, inputs, t) for w, t in zip(column, part, strict=True)]
        return k.at(weights, count * vectors * k.lanes)

    rounds, rest = divmod(columns, unrolled)
    if rounds > 1:
        with k.loop(rounds, carry=[weights, x, *chain.from_iterable(parts)]) as loop:
            weights, x, *flat = loop.carried
            parts = [flat[i * vectors : (i + 1) * vectors] for i in range(chains)]
            weights = columns_at(weights, x, unrolled)
            loop.next(weights, k.at(x, unrolled), *chain.from_iterable(parts))
        weights, x, *flat = loop.results
        parts = [flat[i * vectors : (i + 1) * vectors] for i in range(chains)]
    else:
        rest = columns
    weights = columns_at(weights, x, rest)
    for part in parts[1:]:
        parts[0] = [a + b for a, b in zip(parts[0], part, strict=True)]
    return parts[0], weights


def column_of(k: Function, weights: Value, vectors: int, column: int = 0) -> tuple[list[Value], Value]:
    """One packed column, a vector for each `lanes` rows, and where the next one starts."""
    first = column * vectors * k.lanes
    loaded = [k.load(weights, first + i * k.lanes, align=4 * k.lanes) for i in range(vectors)]
    return loaded, k.at(weights, first + vectors * k.lanes)
