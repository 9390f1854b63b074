"""Matrix-vector products: `activation(sum of W @ x + bias + sum of addends)`, for every format of weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from wavejit.backends.llvm.builder import F32, PTR, Function, Type, Value, digest
from wavejit.backends.llvm.functions import Accuracy
from wavejit.backends.llvm.isa import ISA
from wavejit.backends.llvm.kernels.columns import Columns, columns_of
from wavejit.backends.llvm.kernels.elementwise import Formula, apply
from wavejit.backends.llvm.kernels.output import Output, Sink
from wavejit.ir import ops
from wavejit.ir.formats import FORMATS, FormatName
from wavejit.ir.layout import rounded, row_tiles

Mask = NDArray[np.bool_]  # of blocks, `(vectors of rows, steps of columns)`
Masks = Sequence[Mask | None]

LOADS_A_ROUND = 128  # of weights in an unrolled round; with 64 and fewer, the L2 delivers half (docs/performance.md)


@dataclass(frozen=True)
class AffineKernel:
    """What one kernel is written for; layers of one shape share it.

    Attributes:
        columns: of each run, by the sum that it adds to. A run is what lies side by side in memory: one or
            several terms. Floating-point formats have one sum; integer formats one for each scale of inputs.
        masks: of a sparse product, for each run which blocks it has, `(vectors of rows, steps of columns)`.
        parts: that the rows have, each as large as the output.
        loop: what is worked out of a vector of each part, and of further inputs, before the result is stored.
    """

    output: Output
    columns: tuple[tuple[int, ...], ...]
    bias: bool
    addends: int
    activation: ops.Function
    format: FormatName = "float32"
    masks: tuple[Mask, ...] | None = None
    parts: int = 1
    loop: Formula | None = None

    @property
    def rows(self) -> int:
        return self.output.size * self.parts

    @property
    def further(self) -> int:
        """Inputs of the loop besides the parts."""
        return self.loop.inputs - self.parts if self.loop else 0

    @property
    def name(self) -> str:
        plus = ("_bias" if self.bias else "") + (f"_add{self.addends}" if self.addends else "")
        runs = list(chain.from_iterable(self.columns))
        columns = "_and_".join("_".join(map(str, sums)) for sums in self.columns)
        if len(runs) > 4 and len(set(runs)) == 1 and len(self.columns) == 1:
            columns = f"{len(runs)}_times_{runs[0]}"
        pattern = b"".join(np.packbits(mask).tobytes() for mask in self.masks or ())
        kind = f"sparse_{digest(pattern)}_" if self.masks else ""
        then = f"_{self.activation}" * (self.activation != "identity" or not self.loop)
        then += f"_then_{self.loop.name}" if self.loop else ""
        return f"affine_{self.format}_{kind}{self.rows}x{columns}{plus}{then}{self.output.name}"


def affine(kernel: AffineKernel, isa: ISA, accuracy: Accuracy) -> Function:
    """Parameters: weights, the output's, each run's input, each addend, each further input of the loop, each scale.

    Rows lie along the vectors: each column of weights is multiplied by its input, broadcast, into totals that
    stay in registers for a whole tile of rows. The weights are read once, front to back. A sparse product is
    written out tile by tile, block by block.
    """
    integer = FORMATS[kernel.format].limit > 0
    runs = [[f"x{i}_{j}" for j in range(len(columns))] for i, columns in enumerate(kernel.columns)]
    addends = [f"addend{i}" for i in range(kernel.addends)]
    further = [f"further{i}" for i in range(kernel.further)]
    scales = [f"scale{i}" for i in range(len(runs))] if integer else []
    pointers = [(name, PTR) for name in (*chain.from_iterable(runs), *addends, *further)]
    parameters = [("weights", PTR), *kernel.output.parameters, *pointers, *((name, F32) for name in scales)]
    k = Function(kernel.name, parameters, isa.lanes, isa.fused)
    columns = columns_of(kernel.format, isa)
    sink = Sink(k, kernel.output, isa)

    def tile(weights: Value, first: Value | int, vectors: int, masks: Masks) -> Value:
        """One tile: `vectors` of rows, so many of each part, for elements from `first` on; where its weights end."""
        totals = [k.splat(0.0)] * vectors
        if kernel.bias:
            totals, weights = row_vectors(k, weights, vectors)
        for addend in addends:
            rows = k.at(k[addend], first)
            totals = [total + k.load(rows, place(i)) for i, total in enumerate(totals)]
        if integer:
            totals, weights = integer_sums(weights, totals, masks)
        else:
            for name, count, mask in zip(runs[0], kernel.columns[0], masks, strict=True):
                totals, weights = product(k, isa, columns, totals, weights, k[name], count, mask)
            if kernel.masks is None:  # in float16 the last vector may be half a one
                read = columns.bytes * k.lanes * vectors * -(-sum(kernel.columns[0]) // columns.count)
                weights = k.at(weights, rounded(read, 4 * k.lanes) - read, "i8")
        totals = [apply(k, kernel.activation, total, accuracy) for total in totals]
        for i in range(0, vectors, kernel.parts):
            at = first + i // kernel.parts * k.lanes
            values = [*totals[i : i + kernel.parts], *(k.load(k[name], at) for name in further)]
            sink.put(kernel.loop.of(k, values, accuracy) if kernel.loop else values[0], at)
        return weights

    def place(vector: int) -> int:
        """The element of an addend that belongs to a vector of a tile, seen from the tile's first."""
        return vector % kernel.parts * kernel.output.size + vector // kernel.parts * k.lanes

    def integer_sums(weights: Value, totals: list[Value], masks: Masks) -> tuple[list[Value], Value]:
        """Each sum in integers, then scaled by its inputs' scale and the rows'."""
        row_scales, weights = row_vectors(k, weights, len(totals))
        block = FORMATS[kernel.format].block
        mask = iter(masks)
        for names, counts, scale in zip(runs, kernel.columns, scales, strict=True):
            scaled = [s * k.broadcast(k[scale]) for s in row_scales]
            sums = [k.constant(Type("i32", k.lanes), 0)] * len(totals)
            if kernel.format == "int8" and isa.dots.offset8:  # what the offset of the inputs amounts to
                sums, weights = row_vectors(k, weights, len(totals), "i32")
            for name, count in zip(names, counts, strict=True):
                if block:
                    totals, weights = in_blocks(
                        k, isa, columns, weights, totals, k[name], count, block, scaled, next(mask)
                    )
                else:
                    sums, weights = product(k, isa, columns, sums, weights, k[name], count, next(mask))
            if not block:
                totals = _scaled(k, totals, sums, scaled)
        return totals, weights

    weights = k["weights"]
    tiles = row_tiles(kernel.rows, isa.lanes, isa.accumulators, kernel.parts)
    full = [t for t in tiles if len(t) == len(tiles[0])]
    if kernel.masks is not None or len(full) == 1:
        for part in tiles:
            here = slice(part.start // isa.lanes, part.stop // isa.lanes)
            masks: Masks = [None] * sum(map(len, runs))
            if kernel.masks is not None:
                masks = [mask[here] for mask in kernel.masks]
            weights = tile(weights, part.start // kernel.parts, len(part) // isa.lanes, masks)
    else:
        dense: Masks = [None] * sum(map(len, runs))
        height = len(full[0])
        with k.loop(len(full), carry=[weights]) as loop:
            first = loop.index * (height // kernel.parts)
            loop.next(tile(loop.carried[0], first, height // isa.lanes, dense))
        weights = loop.results[0]
        for rest in tiles[len(full) :]:
            tile(weights, rest.start // kernel.parts, len(rest) // isa.lanes, dense)
    sink.finish()
    return k


def in_blocks(
    k: Function,
    isa: ISA,
    columns: Columns,
    weights: Value,
    totals: list[Value],
    x: Value,
    count: int,
    block: int,
    scales: list[Value],
    mask: Mask | None,
) -> tuple[list[Value], Value]:
    """Sums over `block` columns at a time, so that none can overflow, each scaled into the totals."""
    zeros = [k.constant(Type("i32", k.lanes), 0)] * len(totals)

    def add(weights: Value, totals: list[Value], x: Value, count: int, mask: Mask | None) -> tuple[list[Value], Value]:
        sums, weights = product(k, isa, columns, zeros, weights, x, count, mask)
        return _scaled(k, totals, sums, scales), weights

    if mask is not None:
        for start in range(0, count, block):
            part = mask[:, start // columns.count : (start + block) // columns.count]
            if part.any():
                here = k.at(x, start // columns.count, "i32")
                totals, weights = add(weights, totals, here, min(block, count - start), part)
        return totals, weights
    whole, rest = divmod(count, block)
    with k.loop(whole, carry=[weights, x, *totals]) as loop:
        weights, x, *totals = loop.carried
        totals, weights = add(weights, totals, x, block, None)
        loop.next(weights, k.at(x, block // columns.count, "i32"), *totals)
    weights, x, *totals = loop.results
    return add(weights, totals, x, rest, None) if rest else (totals, weights)


def listed(
    k: Function, columns: Columns, totals: list[Value], weights: Value, x: Value, count: int, mask: Mask
) -> tuple[list[Value], Value]:
    """Add the blocks of `weights @ x` that `mask` names, one after the other."""
    totals, at, block_bytes = list(totals), 0, columns.bytes * k.lanes
    for step in range(mask.shape[1]):
        vectors = np.flatnonzero(mask[:, step])
        if len(vectors):
            inputs = columns.inputs(k, x, step * columns.count, count)
            for i in vectors:
                totals[i] = columns.add(k, totals[i], inputs, k.at(weights, at, "i8"))
                at += block_bytes
    return totals, k.at(weights, rounded(at, 4 * k.lanes), "i8")


def product(
    k: Function,
    isa: ISA,
    columns: Columns,
    totals: list[Value],
    weights: Value,
    x: Value,
    count: int,
    mask: Mask | None,
) -> tuple[list[Value], Value]:
    """Add `weights @ x` over `count` columns to the totals; returns them and where the weights end."""
    if mask is not None:
        return listed(k, columns, totals, weights, x, count, mask)
    vectors, steps = len(totals), -(-count // columns.count)
    # With few rows a column alone would wait for the last one's additions: several columns get totals of their own.
    chains = max(1, min(isa.accumulators // vectors, steps))
    unrolled = max(chains, LOADS_A_ROUND // vectors // chains * chains)
    zero = k.constant(totals[0].type, 0)
    parts = [totals] + [[zero] * vectors for _ in range(chains - 1)]
    step_bytes = columns.bytes * k.lanes * vectors
    input_bytes = 4 * columns.count if columns.total == "float" else 4

    def steps_at(weights: Value, x: Value, number: int, left: int) -> Value:
        for step in range(number):
            inputs = columns.inputs(k, x, step * columns.count, left)
            for i in range(vectors):
                at = k.at(weights, step * step_bytes + i * columns.bytes * k.lanes, "i8")
                parts[step % chains][i] = columns.add(k, parts[step % chains][i], inputs, at)
        return k.at(weights, number * step_bytes, "i8")

    parts = [list(part) for part in parts]
    rounds, rest = divmod(steps, unrolled)
    if rounds > 1:
        with k.loop(rounds, carry=[weights, x, *chain.from_iterable(parts)]) as loop:
            weights, x, *flat = loop.carried
            parts = [flat[i * vectors : (i + 1) * vectors] for i in range(chains)]
            weights = steps_at(weights, x, unrolled, unrolled * columns.count)
            loop.next(weights, k.at(x, unrolled * input_bytes, "i8"), *chain.from_iterable(parts))
        weights, x, *flat = loop.results
        parts = [flat[i * vectors : (i + 1) * vectors] for i in range(chains)]
        count -= rounds * unrolled * columns.count
    else:
        rest = steps
    weights = steps_at(weights, x, rest, count)
    for part in parts[1:]:
        parts[0] = [a + b for a, b in zip(parts[0], part, strict=True)]
    return parts[0], weights


def row_vectors(k: Function, weights: Value, vectors: int, scalar: str = "float") -> tuple[list[Value], Value]:
    """One value a row, a vector for each `lanes` rows, and what lies behind them."""
    type_ = Type(scalar, k.lanes)
    loaded = [k.load(weights, i * k.lanes, type_, align=4 * k.lanes) for i in range(vectors)]
    return loaded, k.at(weights, vectors * k.lanes)


def _scaled(k: Function, totals: list[Value], sums: list[Value], scales: list[Value]) -> list[Value]:
    """Integer sums into float32 totals."""
    return [
        k.multiply_add(s.convert("sitofp", "float"), scale, total)
        for total, s, scale in zip(totals, sums, scales, strict=True)
    ]
