"""Dense products of many streams by tiles: inputs side by side, all integer sums at once, then each stream by itself.

    gather     of each stream: its inputs  ->  a row of each tile of inputs
    multiply   tiles of inputs x tiles of weights, where those lie  ->  tiles of sums
    affine     of each stream: its rows of the sums, scaled, and what else the product does

Weights behind the last column of a run are not its own, or nobody's: inputs are 0 there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from wavejit.backends.llvm.builder import PTR, Function, Type, Value
from wavejit.backends.llvm.isa import ISA
from wavejit.backends.llvm.kernels.lanes import elements, lanes_below
from wavejit.backends.llvm.kernels.products import Place, for_each_tile
from wavejit.backends.llvm.tiles import INPUTS, ROWS, SUMS, WEIGHTS, WORDS, Tiles
from wavejit.ir import ops
from wavejit.ir.formats import FORMATS
from wavejit.ir.layout import row_tiles

WRITTEN_OUT = 8  # tiles of a run's inputs; of a longer run, a loop takes some at a time
MOST_WORDS = 64 * 1024  # of inputs and sums, which lie on the stack


@dataclass(frozen=True)
class Shape:
    """What tells one product by tiles from another.

    Attributes:
        rows: of all parts.
        before: words of a row that lie before its sums: its bias, its scale.
        offsets: whether one lies before the columns of each sum.
        columns: of each run, by the sum that it adds to.
    """

    rows: int
    parts: int
    before: int
    offsets: bool
    columns: tuple[tuple[int, ...], ...]

    @property
    def name(self) -> str:
        columns = "_and_".join("_".join(map(str, runs)) for runs in self.columns)
        of_rows = f"_after_{self.before}" + "_and_offsets" * self.offsets
        return f"tiles_int8_{self.rows}x{columns}{of_rows}" + f"_{self.parts}_parts" * (self.parts > 1)

    @property
    def input_words(self) -> int:
        """Words of memory for the inputs of all streams."""
        return WORDS * sum(tiles_of(count) for count in chain.from_iterable(self.columns))

    def sum_words(self, isa: ISA) -> int:
        """Words of memory for the sums of all streams."""
        return WORDS * len(self.columns) * self.vectors(isa)

    def vectors(self, isa: ISA) -> int:
        """Of rows."""
        return sum(map(len, self.row_tiles(isa))) // isa.lanes

    def weight_vectors(self, isa: ISA) -> int:
        """Of weights, without what a row has of its own."""
        return self.vectors(isa) * sum(map(steps_of, chain.from_iterable(self.columns)))

    def row_tiles(self, isa: ISA) -> list[range]:
        return row_tiles(self.rows, isa.lanes, isa.accumulators, self.parts)


def shape_of(op: ops.Affine, rows: int, parts: int, columns: tuple[tuple[int, ...], ...], isa: ISA) -> Shape | None:
    """The shape of a product, or None where tiles do not multiply it, or where it is so small that they do not pay."""
    if isa.tiles is None or op.format != "int8" or op.block_rows:
        return None
    before = (op.bias is not None) + (not op.unfinished)
    shape = Shape(rows, parts, before, op.continues is None, columns)
    fits = shape.input_words + shape.sum_words(isa) <= MOST_WORDS
    return shape if fits and shape.weight_vectors(isa) >= isa.tiles.smallest else None


def steps_of(count: int) -> int:
    """Steps of columns in a run: words of its inputs."""
    return -(-count // FORMATS["int8"].columns)


def tiles_of(count: int) -> int:
    """Tiles of inputs of a run."""
    return -(-steps_of(count) // ROWS)


def gather(k: Function, shape: Shape, inputs: Sequence[Value], at: Value) -> None:
    """Copy a stream's inputs to its row of the first tile, `at`, and to the same row of those behind it."""
    for x, count in zip(inputs, chain.from_iterable(shape.columns), strict=True):
        words, rest = steps_of(count), steps_of(count) % k.lanes
        vector = Type("i32", k.lanes)
        for word in elements(k, words - rest):
            k.store(k.load(x, word, vector), at, word * ROWS, align=4 * k.lanes)
        if rest:
            last = k.select(lanes_below(k, 0, rest), k.load(x, words - rest, vector), 0)
            k.store(last, at, (words - rest) * ROWS, align=4 * k.lanes)
        at = k.at(at, tiles_of(count) * WORDS)


def multiply(shape: Shape, isa: ISA) -> Function:
    """Parameters: weights, tiles of inputs, where the tiles of sums go: by tile of rows, then sum, then vector."""
    assert isa.tiles is not None, "only what has tiles multiplies them"
    tiles = isa.tiles
    k = Function(shape.name, [("weights", PTR), ("inputs", PTR), ("sums", PTR)], isa.lanes)

    def tile(at: Place, _: Value | int, vectors: int) -> Place:
        at = at.behind_rows(k, vectors * shape.before)
        inputs = k["inputs"]
        for runs in shape.columns:
            at = at.behind_rows(k, vectors * shape.offsets)
            for first in range(0, vectors, len(SUMS)):
                _sums(k, tiles, runs, at, inputs, range(first, min(first + len(SUMS), vectors)), vectors)
            at = at.behind_sum(k, vectors, sum(map(steps_of, runs)))
            inputs = k.at(inputs, sum(map(tiles_of, runs)) * WORDS)
        return at

    for_each_tile(k, shape.row_tiles(isa), shape.parts, Place(k["weights"], None, k["sums"]), tile)
    return k


def _sums(k: Function, tiles: Tiles, runs: Sequence[int], at: Place, inputs: Value, which: range, vectors: int) -> None:
    """The sums over some runs of a few of the vectors of rows."""
    assert at.sums is not None, "the kernel was given where they go"
    weights, step = k.at(at.weights, which.start * k.lanes), vectors * k.lanes

    def add(weights: Value, inputs: Value, count: int) -> None:
        for i in range(count):
            x = INPUTS[i % len(INPUTS)]
            tiles.load(k, x, k.at(inputs, i * WORDS))
            for vector in range(len(which)):
                w = WEIGHTS[vector % len(WEIGHTS)]
                tiles.load(k, w, k.at(weights, i * ROWS * step + vector * k.lanes), 4 * step)
                tiles.multiply(k, SUMS[vector], x, w)

    for vector in range(len(which)):
        tiles.zero(k, SUMS[vector])
    for count in runs:
        number = tiles_of(count)
        rounds, rest = divmod(number, WRITTEN_OUT)
        if rounds > 1:
            with k.loop(rounds) as loop:
                done = loop.index * WRITTEN_OUT
                add(k.at(weights, done * (ROWS * step)), k.at(inputs, done * WORDS), WRITTEN_OUT)
        else:
            rest = number
        done = number - rest
        add(k.at(weights, done * ROWS * step), k.at(inputs, done * WORDS), rest)
        weights = k.at(weights, steps_of(count) * step)
        inputs = k.at(inputs, number * WORDS)
    for vector, row in enumerate(which):
        tiles.store(k, SUMS[vector], k.at(at.sums, row * WORDS))
