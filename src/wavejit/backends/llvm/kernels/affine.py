"""Matrix-vector products: `activation(sum of W @ x + bias + sum of addends)`, for every format of weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain

from wavejit.backends.llvm.builder import F32, I16, I32, PTR, Function, Type, Value
from wavejit.backends.llvm.functions import Accuracy
from wavejit.backends.llvm.isa import ISA
from wavejit.backends.llvm.kernels.columns import Columns, Inputs, columns_of
from wavejit.backends.llvm.kernels.elementwise import Formula, apply
from wavejit.backends.llvm.kernels.output import Output, Sink
from wavejit.backends.llvm.kernels.scaled_blocks import ScaledBlocks
from wavejit.ir import ops
from wavejit.ir.cost import LONG_FUNCTIONS
from wavejit.ir.formats import FORMATS, FormatName
from wavejit.ir.layout import rounded, row_tiles

LOADS_A_ROUND = 128  # of weights in an unrolled round; with 64 and fewer, the L2 delivers half (docs/performance.md)

BLOCKS_A_ROUND = 4  # of a sparse product's list, a power of two


@dataclass(frozen=True)
class AffineKernel:
    """What one kernel is written for; layers of one shape share it.

    Attributes:
        columns: of each run (`ir/runs.py`), by the sum that it adds to. Floating-point formats have one sum; integer
            formats one for each scale of inputs. A sparse product is written for any number of columns: 0.
        block_rows: of a sparse product, 0 of a dense one; blocks are some vectors of rows, or parts of a vector.
        parts: that the rows have, each as large as the output.
        loop: what is worked out of a vector of each part, and of further inputs, before the result is stored.
    """

    output: Output
    columns: tuple[tuple[int, ...], ...]
    bias: bool
    addends: int
    activation: ops.Function
    format: FormatName = "float32"
    block_rows: int = 0
    parts: int = 1
    loop: Formula | None = None

    @property
    def rows(self) -> int:
        return self.output.size * self.parts

    @property
    def has_long_functions(self) -> bool:
        """Whether each element takes many operations that wait for each other."""
        return not LONG_FUNCTIONS.isdisjoint(
            {self.activation, *(line[0] for line in (self.loop.lines if self.loop else ()))}
        )

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
        if self.block_rows:
            columns = "_and_".join(str(len(sums)) for sums in self.columns) + "_lists"
        kind = f"sparse{self.block_rows}_" if self.block_rows else ""
        then = f"_{self.activation}" * (self.activation != "identity" or not self.loop)
        then += f"_then_{self.loop.name}" if self.loop else ""
        return f"affine_{self.format}_{kind}{self.rows}x{columns}{plus}{then}{self.output.name}"


def affine(kernel: AffineKernel, isa: ISA, accuracy: Accuracy) -> Function:
    """Parameters: weights, the output's, each run's input, each addend, each further input of the loop, each scale.

    Rows lie along the vectors: each column of weights is multiplied by its input, broadcast, into totals that
    stay in registers for a whole tile of rows. The weights are read once, front to back. Behind them, a sparse
    product is given its lists.
    """
    integer = FORMATS[kernel.format].limit > 0
    runs = [[f"x{i}_{j}" for j in range(len(columns))] for i, columns in enumerate(kernel.columns)]
    addends = [f"addend{i}" for i in range(kernel.addends)]
    further = [f"further{i}" for i in range(kernel.further)]
    scales = [f"scale{i}" for i in range(len(runs))] if integer else []
    pointers = [(name, PTR) for name in (*chain.from_iterable(runs), *addends, *further)]
    streams = [("weights", PTR)] + [("lists", PTR)] * (kernel.block_rows != 0)
    parameters = [*streams, *kernel.output.parameters, *pointers, *((name, F32) for name in scales)]
    k = Function(kernel.name, parameters, isa.lanes, isa.fused, reciprocal=isa.reciprocal)
    columns, band = columns_of(kernel.format, isa), kernel.block_rows // isa.lanes
    sink = Sink(k, kernel.output, isa)
    tiles = row_tiles(kernel.rows, isa.lanes, isa.accumulators, kernel.parts)
    # What follows a tile's totals is a long chain of operations: all tiles' chains run side by side at the end.
    apart = len(tiles) > 1 and kernel.has_long_functions
    stride = rounded(kernel.output.size, isa.lanes)
    kept = k.room(kernel.parts * stride) if apart else None

    def tile(at: Place, first: Value | int, vectors: int) -> Place:
        """One tile: `vectors` of rows, for elements from `first` on; returns where the next one starts."""
        groups = vectors // kernel.parts
        totals = [k.splat(0.0)] * vectors
        if kernel.bias:
            totals, at = row_vectors(k, at, vectors)
        for addend in addends:
            rows = k.at(k[addend], first)
            totals = [
                total + k.load(rows, i // groups * kernel.output.size + i % groups * k.lanes)
                for i, total in enumerate(totals)
            ]
        add_sums = sums_of_blocks if FORMATS[kernel.format].block_scales else integer_sums if integer else float_sum
        totals, at = add_sums(at, totals)
        if kept is not None:
            for i, total in enumerate(totals):
                k.store(total, kept, first + (i % groups * k.lanes + i // groups * stride), align=4 * k.lanes)
        else:
            for start, count in side_by_side(groups):
                finish([totals[i + start : i + start + count] for i in range(0, vectors, groups)], first, start)
        return at

    def side_by_side(vectors: int) -> Iterator[tuple[int, int]]:
        """So many vectors, in powers of two that are worked on at once."""
        start, count = 0, isa.side_by_side if kernel.has_long_functions else 1
        while start < vectors:
            while count > vectors - start:
                count //= 2
            yield start, count
            start += count

    def finish(totals: list[list[Value]], first: Value | int, vector: int = 0) -> None:
        """From the totals of some vectors of each part to the result, for the elements from `vector` on."""
        count, at = len(totals[0]), [first + (vector + i) * k.lanes for i in range(len(totals[0]))]
        values = [apply(k, kernel.activation, k.joined(part), accuracy) for part in totals]
        values += [k.joined([k.load(k[name], element) for element in at]) for name in further]
        result = kernel.loop.of(k, values, accuracy, isa.side_by_side > 1) if kernel.loop else values[0]
        for value, element in zip(k.parted(result, count), at, strict=True):
            sink.put(value, element)

    def add_run(at: Place, totals: list[Value], name: str, count: int) -> tuple[list[Value], Place]:
        if kernel.block_rows:
            return sparse(at, totals, name)
        of_rows = columns_of(kernel.format, isa, len(totals))
        totals, weights = product(k, isa, of_rows, totals, at.weights, k[name], count)
        return totals, replace(at, weights=weights)

    def sparse(
        at: Place, totals: list[Value], name: str, scales: list[Value] | None = None
    ) -> tuple[list[Value], Place]:
        if band:
            return listed(k, columns, band, totals, at, k[name], scales)
        words = words_of_groups(k, columns, k[name], kernel.block_rows)
        if kernel.block_rows == 1:
            words = words_of_lanes(k, isa, columns, k[name])
        return by_part(k, columns, words, totals, at, scales)

    def float_sum(at: Place, totals: list[Value]) -> tuple[list[Value], Place]:
        for name, count in zip(runs[0], kernel.columns[0], strict=True):
            totals, at = add_run(at, totals, name, count)
        if kernel.block_rows:
            return totals, at
        read = columns.bytes * k.lanes * len(totals) * -(-sum(kernel.columns[0]) // columns.count)
        # In float16 the last vector may be half a one.
        return totals, replace(at, weights=k.at(at.weights, rounded(read, 4 * k.lanes) - read, "i8"))

    def sums_of_blocks(at: Place, totals: list[Value]) -> tuple[list[Value], Place]:
        """Each sum in blocks that have scales of their own, then scaled by its inputs' scale."""
        block, offset = FORMATS[kernel.format].block, isa.dots.offset8
        blocks = ScaledBlocks(k, columns, block, offset, LOADS_A_ROUND, partial(product, k, isa, columns))
        for names, counts, scale in zip(runs, kernel.columns, scales, strict=True):
            sums = [k.splat(0.0)] * len(totals)
            for name, count in zip(names, counts, strict=True):
                if kernel.block_rows:
                    sums, at = listed(k, columns, band, sums, at, k[name], blocks=blocks)
                else:
                    sums, weights = blocks.product(sums, at.weights, k[name], count)
                    at = replace(at, weights=weights)
            totals = _scaled(k, totals, sums, [k.broadcast(k[scale])] * len(totals))
        return totals, at

    def integer_sums(at: Place, totals: list[Value]) -> tuple[list[Value], Place]:
        """Each sum in integers, then scaled by its inputs' scale and the rows'."""
        row_scales, at = row_vectors(k, at, len(totals))
        block = FORMATS[kernel.format].block
        for names, counts, scale in zip(runs, kernel.columns, scales, strict=True):
            scaled = [s * k.broadcast(k[scale]) for s in row_scales]
            sums = [k.constant(Type("i32", k.lanes), 0)] * len(totals)
            if kernel.format == "int8" and isa.dots.offset8:  # what the offset of the inputs amounts to
                sums, at = row_vectors(k, at, len(totals), "i32")
            for name, count in zip(names, counts, strict=True):
                if not block:
                    sums, at = add_run(at, sums, name, count)
                elif kernel.block_rows:
                    totals, at = sparse(at, totals, name, scaled)
                else:
                    totals, weights = in_blocks(k, isa, columns, at.weights, totals, k[name], count, block, scaled)
                    at = replace(at, weights=weights)
            if not block:
                totals = _scaled(k, totals, sums, scaled)
        return totals, at

    def finish_all(kept: Value) -> None:
        """From all totals to the result."""
        done, vectors = 0, stride // k.lanes
        for count in (isa.side_by_side >> i for i in range(isa.side_by_side.bit_length())):
            rounds = (vectors - done) // count
            if rounds:
                with k.loop(rounds) as loop:
                    first = loop.index * (count * k.lanes) + done * k.lanes
                    found = [
                        [k.load(kept, first + (i * k.lanes + part * stride), align=4 * k.lanes) for i in range(count)]
                        for part in range(kernel.parts)
                    ]
                    finish(found, first)
                done += rounds * count

    at = Place(k["weights"], k["lists"] if kernel.block_rows else None)
    full = [t for t in tiles if len(t) == len(tiles[0])]
    height = len(full[0])
    if len(full) == 1:
        at = tile(at, 0, height // isa.lanes)
    else:
        with k.loop(len(full), carry=at.values) as loop:
            at = tile(Place.of(loop.carried), loop.index * (height // kernel.parts), height // isa.lanes)
            loop.next(*at.values)
        at = Place.of(loop.results)
    for rest in tiles[len(full) :]:
        tile(at, rest.start // kernel.parts, len(rest) // isa.lanes)
    if kept is not None:
        finish_all(kept)
    sink.finish()
    return k


@dataclass(frozen=True)
class Place:
    """Where a kernel stands: in the weights, and in the lists of a sparse product."""

    weights: Value
    lists: Value | None

    @property
    def values(self) -> list[Value]:
        return [self.weights] if self.lists is None else [self.weights, self.lists]

    @staticmethod
    def of(values: Sequence[Value]) -> Place:
        return Place(values[0], values[1] if len(values) > 1 else None)


def listed(
    k: Function,
    columns: Columns,
    band: int,
    totals: list[Value],
    at: Place,
    x: Value,
    scales: list[Value] | None = None,
    blocks: ScaledBlocks | None = None,
) -> tuple[list[Value], Place]:
    """Add the blocks of `weights @ x` that the lists name: one list for each `band` vectors of rows.

    A block is one step of columns, or one of `blocks`.
    """
    assert at.lists is not None, "a sparse product has lists"
    totals, weights, lists = list(totals), at.weights, at.lists

    def one_step(rows: list[Value], here: Value, inputs_at: Value, first: int) -> list[Value]:
        inputs = columns.inputs(k, inputs_at, 0, columns.count)
        return [
            _added(k, columns, total, inputs, k.at(here, i * step_bytes, "i8"), scales[first + i] if scales else None)
            for i, total in enumerate(rows)
        ]

    step_bytes = columns.bytes * k.lanes
    for first in range(0, len(totals), band):
        rows = totals[first : first + band]
        block_bytes = blocks.bytes(len(rows)) if blocks else step_bytes * len(rows)

        def block(here: Value, entry: Value, rows: list[Value], first: int = first) -> list[Value]:
            step = k.load(entry, 0, I16, align=2).convert("zext", "i64")
            inputs_at = k.at(x, step * columns.input_bytes, "i8")
            return blocks.add_block(rows, here, inputs_at) if blocks else one_step(rows, here, inputs_at, first)

        rows, weights, lists = by_list(k, rows, weights, lists, block_bytes, 2, block)
        totals[first : first + band] = rows
    return totals, Place(weights, lists)


Block = Callable[[Value, Value, list[Value]], list[Value]]  # totals, from where its weights and its entry lie


def by_list(
    k: Function, totals: list[Value], weights: Value, lists: Value, block_bytes: int, entry_bytes: int, block: Block
) -> tuple[list[Value], Value, Value]:
    """Add the blocks of one list: how many there are (16 bits), then an entry for each.

    Lists are short, so that what a loop costs beside its body counts: blocks are written out, in rounds of
    `BLOCKS_A_ROUND`, then one by one. Where the next list begins follows from the branches taken, which a processor
    guesses, and not from the count, which it would wait for.
    """
    count = k.load(lists, 0, I16, align=2).convert("zext", "i64")

    def one(number: int, carried: list[Value]) -> list[Value]:
        weights, entry, *totals = carried
        totals = block(weights, entry, totals)
        return [k.at(weights, block_bytes, "i8"), k.at(entry, entry_bytes, "i8"), *totals]

    with k.loop(count >> BLOCKS_A_ROUND.bit_length() - 1, carry=[weights, k.at(lists, 2, "i8"), *totals]) as loop:
        carried = loop.carried
        for _ in range(BLOCKS_A_ROUND):
            carried = one(0, carried)
        loop.next(*carried)
    rest = count & (BLOCKS_A_ROUND - 1)
    weights, lists, *totals = k.written_out(BLOCKS_A_ROUND - 1, rest, loop.results, one)
    return totals, weights, lists


@dataclass(frozen=True)
class Words:
    """How the lanes of a vector find words of inputs of their own.

    Attributes:
        entry: bytes of an entry of the lists.
        of: a vector of words, from where its entry lies.
    """

    entry: int
    of: Callable[[Value], Value]


def words_of_lanes(k: Function, isa: ISA, columns: Columns, x: Value) -> Words:
    """Each lane takes a word of a window of inputs that all see: an entry has its begin, then a byte for each lane."""
    words = Type("i32", k.lanes)

    def of(entry: Value) -> Value:
        start = k.load(entry, 0, I16, align=2).convert("zext", "i64")
        places = k.load(k.at(entry, 2, "i8"), 0, Type("i8", k.lanes), align=1).convert("zext", "i32")
        return k.call(isa.look_up, words, k.load(k.at(x, start * columns.input_bytes, "i8"), 0, words), places)

    return Words(2 + k.lanes, of)


def words_of_groups(k: Function, columns: Columns, x: Value, rows: int) -> Words:
    """Each group of `rows` lanes takes the word that the entry names for it."""
    groups = range(k.lanes // rows)

    def of(entry: Value) -> Value:
        steps = [k.load(entry, group, I16, align=2).convert("zext", "i64") for group in groups]
        each = [k.broadcast(k.load(k.at(x, step * columns.input_bytes, "i8"), 0, I32)) for step in steps]
        found = each[0]
        for group in groups[1:]:
            order = [lane + k.lanes * (lane // rows == group) for lane in range(k.lanes)]
            found = k.shuffle(found, order, each[group])
        return found

    return Words(2 * len(groups), of)


def by_part(
    k: Function,
    columns: Columns,
    words: Words,
    totals: list[Value],
    at: Place,
    scales: list[Value] | None = None,
) -> tuple[list[Value], Place]:
    """Add words of `weights @ x` of which parts of a vector take their own: one list for each vector of rows."""
    assert at.lists is not None, "a sparse product has lists"
    assert columns.of_words is not None, "a step's inputs are one word"
    totals, weights, lists = list(totals), at.weights, at.lists
    of_words, step_bytes = columns.of_words, columns.bytes * k.lanes
    for i, total in enumerate(totals):

        def step(here: Value, entry: Value, totals: list[Value], i: int = i) -> list[Value]:
            return [_added(k, columns, totals[0], of_words(k, words.of(entry)), here, scales[i] if scales else None)]

        (totals[i],), weights, lists = by_list(k, [total], weights, lists, step_bytes, words.entry, step)
    return totals, Place(weights, lists)


def _added(k: Function, columns: Columns, total: Value, inputs: Inputs, weights: Value, scale: Value | None) -> Value:
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
    totals: list[Value],
    x: Value,
    count: int,
    block: int,
    scales: list[Value],
) -> tuple[list[Value], Value]:
    """Sums over `block` columns at a time, so that none can overflow, each scaled into the totals."""
    zeros = [k.constant(Type("i32", k.lanes), 0)] * len(totals)

    def add(weights: Value, totals: list[Value], x: Value, count: int) -> tuple[list[Value], Value]:
        sums, weights = product(k, isa, columns, zeros, weights, x, count)
        return _scaled(k, totals, sums, scales), weights

    whole, rest = divmod(count, block)
    with k.loop(whole, carry=[weights, x, *totals]) as loop:
        weights, x, *totals = loop.carried
        totals, weights = add(weights, totals, x, block)
        loop.next(weights, k.at(x, block // columns.count, "i32"), *totals)
    weights, x, *totals = loop.results
    return add(weights, totals, x, rest) if rest else (totals, weights)


def product(
    k: Function,
    isa: ISA,
    columns: Columns,
    totals: list[Value],
    weights: Value,
    x: Value,
    count: int,
) -> tuple[list[Value], Value]:
    """Add `weights @ x` over `count` columns to the totals; returns them and where the weights end."""
    vectors, steps = len(totals), -(-count // columns.count)
    # With few rows a column alone would wait for the last one's additions: several columns get totals of their own.
    chains = max(1, min(isa.accumulators // vectors, steps))
    unrolled = max(chains, LOADS_A_ROUND // vectors // chains * chains)
    zero = k.constant(totals[0].type, 0)
    sums = [*totals, *[zero] * (vectors * (chains - 1)), *[zero] * (columns.left_out is not None)]
    step_bytes = columns.bytes * k.lanes * vectors

    def steps_at(weights: Value, x: Value, number: int, left: int) -> Value:
        for step in range(number):
            inputs = columns.inputs(k, x, step * columns.count, left)
            for i in range(vectors):
                at = k.at(weights, step * step_bytes + i * columns.bytes * k.lanes, "i8")
                which = step % chains * vectors + i
                sums[which] = columns.add(k, sums[which], inputs, at)
            if columns.left_out:
                sums[-1] = columns.left_out(k, sums[-1], inputs)
            if not zero.type.is_float and step % chains == chains - 1:
                # LLVM regroups sums of integers, row by row, and then has no registers for all steps' inputs.
                sums[:] = k.held(sums, isa.register)
        return k.at(weights, number * step_bytes, "i8")

    rounds, rest = divmod(steps, unrolled)
    if rounds > 1:
        with k.loop(rounds, carry=[weights, x, *sums]) as loop:
            weights, x, *sums = loop.carried
            weights = steps_at(weights, x, unrolled, unrolled * columns.count)
            loop.next(weights, k.at(x, unrolled * columns.input_bytes, "i8"), *sums)
        weights, x, *sums = loop.results
        count -= rounds * unrolled * columns.count
    else:
        rest = steps
    weights = steps_at(weights, x, rest, count)
    found = sums[:vectors]
    for chain_ in range(1, chains):
        found = [total + sums[chain_ * vectors + i] for i, total in enumerate(found)]
    return [total - sums[-1] for total in found] if columns.left_out else found, weights


def row_vectors(k: Function, at: Place, vectors: int, scalar: str = "float") -> tuple[list[Value], Place]:
    """One value a row, a vector for each `lanes` rows, and what lies behind them."""
    type_ = Type(scalar, k.lanes)
    # The half vectors of a sparse product in float16 leave what follows where they end.
    loaded = [k.load(at.weights, i * k.lanes, type_, align=2 * k.lanes) for i in range(vectors)]
    return loaded, replace(at, weights=k.at(at.weights, vectors * k.lanes))


def _scaled(k: Function, totals: list[Value], sums: list[Value], scales: list[Value]) -> list[Value]:
    """Sums into float32 totals."""
    return [
        k.multiply_add(s if s.type.is_float else s.convert("sitofp", "float"), scale, total)
        for total, s, scale in zip(totals, sums, scales, strict=True)
    ]
