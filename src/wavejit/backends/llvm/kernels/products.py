"""Dense products: columns of weights, read front to back, times inputs, into totals in registers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from wavejit.backends.llvm.builder import Function, Type, Value
from wavejit.backends.llvm.isa import ISA
from wavejit.backends.llvm.kernels.columns import Columns, Inputs
from wavejit.backends.llvm.tiles import WORDS

LOADS_A_ROUND = 128  # of weights in an unrolled round; with 64 and fewer, the L2 delivers half (docs/performance.md)

Totals = list[list[Value]]  # of each stream, a vector for each vector of rows


@dataclass(frozen=True)
class Written:
    """Lists that are read when the code is written: where the next of their numbers are.

    Attributes:
        data: their bytes.
        at: how many are behind.
        begun: how many were where the entries of the list began.
    """

    data: bytes
    at: int
    begun: int = 0

    def number(self, index: int) -> int:
        """The number of 16 bits at `index` from here on."""
        start = self.at + 2 * index
        return int.from_bytes(self.data[start : start + 2], "little")

    def behind(self, count: int) -> Written:
        """Behind so many bytes."""
        return replace(self, at=self.at + count)

    def begin(self, count: int) -> Written:
        """Behind the head of a list."""
        return replace(self, at=self.at + count, begun=self.at + count)

    def entries(self, size: int) -> int:
        """How many entries of its list are behind, of so many bytes each."""
        return (self.at - self.begun) // size


@dataclass(frozen=True)
class Place:
    """Where a kernel stands: in the weights, in the lists of a sparse product, in the sums that tiles have made."""

    weights: Value
    lists: Value | Written | None = None
    sums: Value | None = None

    @property
    def values(self) -> list[Value]:
        """What changes from round to round of a loop."""
        return [value for value in (self.weights, self.lists, self.sums) if isinstance(value, Value)]

    def at(self, values: Sequence[Value]) -> Place:
        """The same with other `values`."""
        weights, *others = values
        lists = others.pop(0) if isinstance(self.lists, Value) else self.lists
        return Place(weights, lists, *others)

    def behind_rows(self, k: Function, vectors: int) -> Place:
        """Behind one value a row."""
        return replace(self, weights=k.at(self.weights, vectors * k.lanes))

    def behind_sum(self, k: Function, vectors: int, steps: int) -> Place:
        """Behind the columns of a sum that tiles have made, and behind its tiles."""
        assert self.sums is not None, "tiles have made sums"
        return Place(k.at(self.weights, steps * vectors * k.lanes), self.lists, k.at(self.sums, vectors * WORDS))


def for_each_tile(
    k: Function, tiles: Sequence[range], parts: int, at: Place, tile: Callable[[Place, Value | int, int], Place]
) -> None:
    """Go through the tiles of a product's rows, front to back.

    Args:
        tile: from its place, the first element of its result and its vectors of rows to the next tile's place.
    """
    full = [t for t in tiles if len(t) == len(tiles[0])]
    height = len(full[0])
    if len(full) == 1 or isinstance(at.lists, Written):
        for one in full:
            at = tile(at, one.start // parts, height // k.lanes)
    else:
        with k.loop(len(full), carry=at.values) as loop:
            following = tile(at.at(loop.carried), loop.index * (height // parts), height // k.lanes)
            loop.next(*following.values)
        at = at.at(loop.results)
    for rest in tiles[len(full) :]:
        at = tile(at, rest.start // parts, len(rest) // k.lanes)


def added(k: Function, columns: Columns, total: Value, inputs: Inputs, weights: Value, scale: Value | None) -> Value:
    """A total and the products of one step; with a scale, a sum of their own that cannot overflow."""
    if scale is None:
        return columns.add(k, total, inputs, weights)
    alone = columns.add(k, k.constant(Type("i32", k.lanes), 0), inputs, weights)
    return k.multiply_add(alone.convert("sitofp", "float"), scale, total)


def in_blocks(
    k: Function,
    isa: ISA,
    columns: Columns,
    weights: Value,
    totals: Totals,
    x: Sequence[Value],
    count: int,
    block: int,
    scales: Totals,
) -> tuple[Totals, Value]:
    """Sums over `block` columns at a time, so that none can overflow, each scaled into the totals of its stream."""
    zeros = [[k.constant(Type("i32", k.lanes), 0)] * len(rows) for rows in totals]

    def add(weights: Value, totals: Totals, x: Sequence[Value], count: int) -> tuple[Totals, Value]:
        sums, weights = product(k, isa, columns, zeros, weights, x, count)
        return [scaled_into(k, *each_stream) for each_stream in zip(totals, sums, scales, strict=True)], weights

    whole, rest = divmod(count, block)
    streams, vectors = len(totals), len(totals[0])
    with k.loop(whole, carry=[weights, *x, *chain.from_iterable(totals)]) as loop:
        weights, x, totals = _of_streams(loop.carried, streams, vectors)
        totals, weights = add(weights, totals, x, block)
        x = [k.at(each, block // columns.count, "i32") for each in x]
        loop.next(weights, *x, *chain.from_iterable(totals))
    weights, x, totals = _of_streams(loop.results, streams, vectors)
    return add(weights, totals, x, rest) if rest else (totals, weights)


def _of_streams(values: Sequence[Value], streams: int, vectors: int) -> tuple[Value, Sequence[Value], Totals]:
    """Weights, each stream's inputs and each stream's totals, out of all of them in this order."""
    rows = values[1 + streams :]
    return values[0], values[1 : 1 + streams], [list(rows[i : i + vectors]) for i in range(0, len(rows), vectors)]


def product(
    k: Function, isa: ISA, columns: Columns, totals: Totals, weights: Value, x: Sequence[Value], count: int
) -> tuple[Totals, Value]:
    """Add `weights @ x` over `count` columns to the totals of each stream; returns them and where the weights end.

    Args:
        totals: of each stream, a vector for each vector of rows.
        x: where each stream's inputs lie.
    """
    vectors, steps = len(totals[0]), -(-count // columns.count)
    # With few rows a column alone would wait for the last one's additions: several columns get totals of their own.
    # As many for one stream as for several: the order of additions is a stream's own.
    chains = max(1, min(isa.accumulators // vectors, steps))
    unrolled = max(chains, LOADS_A_ROUND // vectors // chains * chains)
    zero = k.constant(totals[0][0].type, 0)
    spare = [zero] * (vectors * (chains - 1)) + [zero] * (columns.left_out is not None)
    width = vectors + len(spare)  # sums of a stream
    sums = [total for of_stream in totals for total in (*of_stream, *spare)]
    step_bytes = columns.bytes * k.lanes * vectors

    def steps_at(weights: Value, x: Sequence[Value], number: int, left: int) -> Value:
        for step in range(number):
            inputs = [columns.inputs(k, each, step * columns.count, left) for each in x]
            for i in range(vectors):
                at = k.at(weights, step * step_bytes + i * columns.bytes * k.lanes, "i8")
                for stream, of_stream in enumerate(inputs):
                    which = stream * width + step % chains * vectors + i
                    sums[which] = columns.add(k, sums[which], of_stream, at)
            if columns.left_out:
                for stream, of_stream in enumerate(inputs):
                    last = (stream + 1) * width - 1
                    sums[last] = columns.left_out(k, sums[last], of_stream)
            if not zero.type.is_float and step % chains == chains - 1:
                # LLVM regroups sums of integers, row by row, and then has no registers for all steps' inputs.
                sums[:] = k.held(sums, isa.register)
        return k.at(weights, number * step_bytes, "i8")

    rounds, rest = divmod(steps, unrolled)
    if rounds > 1:
        with k.loop(rounds, carry=[weights, *x, *sums]) as loop:
            weights, x, sums = loop.carried[0], loop.carried[1 : len(x) + 1], loop.carried[len(x) + 1 :]
            (weights,) = k.held([weights], isa.address_register)
            weights = steps_at(weights, x, unrolled, unrolled * columns.count)
            loop.next(weights, *(k.at(each, unrolled * columns.input_bytes, "i8") for each in x), *sums)
        weights, x, sums = loop.results[0], loop.results[1 : len(x) + 1], loop.results[len(x) + 1 :]
        count -= rounds * unrolled * columns.count
    else:
        rest = steps
    weights = steps_at(weights, x, rest, count)
    found: Totals = []
    for start in range(0, len(sums), width):
        rows = sums[start : start + vectors]
        for other in range(1, chains):
            rows = [total + sums[start + other * vectors + i] for i, total in enumerate(rows)]
        found.append([total - sums[start + width - 1] for total in rows] if columns.left_out else rows)
    return found, weights


def row_vectors(k: Function, at: Place, vectors: int, scalar: str = "float") -> tuple[list[Value], Place]:
    """One value a row, a vector for each `lanes` rows, and what lies behind them."""
    type_ = Type(scalar, k.lanes)
    # The half vectors of a sparse product in float16 leave what follows where they end.
    loaded = [k.load(at.weights, i * k.lanes, type_, align=2 * k.lanes) for i in range(vectors)]
    return loaded, at.behind_rows(k, vectors)


def scaled_into(k: Function, totals: list[Value], sums: list[Value], scales: list[Value]) -> list[Value]:
    """Sums into float32 totals."""
    return [
        k.multiply_add(s if s.type.is_float else s.convert("sitofp", "float"), scale, total)
        for total, s, scale in zip(totals, sums, scales, strict=True)
    ]
