"""Matrix-vector products: `activation(sum of W @ x + bias + sum of addends)`, for every format of weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain

from wavejit.backends.llvm.builder import F32, PTR, Function, Type, Value
from wavejit.backends.llvm.functions import Accuracy
from wavejit.backends.llvm.isa import ISA
from wavejit.backends.llvm.kernels.affine_kernel import AffineKernel, Sums
from wavejit.backends.llvm.kernels.columns import columns_of
from wavejit.backends.llvm.kernels.elementwise import apply
from wavejit.backends.llvm.kernels.lists import by_part, from_places, listed, to_places
from wavejit.backends.llvm.kernels.output import Sink
from wavejit.backends.llvm.kernels.products import (
    LOADS_A_ROUND,
    Place,
    Totals,
    Written,
    for_each_tile,
    in_blocks,
    product,
    row_vectors,
    scaled_into,
)
from wavejit.backends.llvm.kernels.scaled_blocks import ScaledBlocks
from wavejit.backends.llvm.kernels.tiled import steps_of
from wavejit.backends.llvm.kernels.words import Words, behind, words_of_groups, words_of_windows
from wavejit.backends.llvm.tiles import WORDS
from wavejit.ir.formats import FORMATS
from wavejit.ir.layout import rounded, row_tiles
from wavejit.ir.runs import by_windows


def affine(
    kernel: AffineKernel, isa: ISA, accuracy: Accuracy, streams: int = 1, sums_are: Sums = "own", end: str = ""
) -> Function:
    """Parameters: weights; then, a stream at a time, the output's, inputs, addends, further inputs of the loop, scales.

    Rows lie along the vectors: each column of weights is multiplied by its input, broadcast, into totals that
    stay in registers for a whole tile of rows. The weights are read once, front to back. Behind them, a sparse
    product is given its lists. Where tiles have made the integer sums (`kernels/tiled.py`), they come behind the
    weights, the first stream's, and no inputs do. Sums that are given come first, a vector each; `end` is the kernel
    that they are passed on to.
    """
    integer = FORMATS[kernel.format].limit > 0
    runs = [[f"x{i}_{j}" for j in range(len(columns))] for i, columns in enumerate(kernel.columns)]
    addends = [f"addend{i}" for i in range(kernel.addends)]
    further = [f"further{i}" for i in range(kernel.further)]
    scales = [f"scale{i}" for i in range(len(runs))] if integer and not kernel.one_scale else []
    stride, by_fill = rounded(kernel.output.size, isa.lanes), kernel.by_fill
    # By fill a tile has rows of any part, in an order of its own.
    rows, parts = (kernel.parts * stride, 1) if by_fill else (kernel.rows, kernel.parts)
    tiles = row_tiles(rows, isa.lanes, isa.accumulators, parts)
    made, given = sums_are == "of_tiles", sums_are == "given"
    inputs = [] if made or given else chain.from_iterable(runs)
    begun = ["begun"] * kernel.continues
    pointers = [(name, PTR) for name in (*inputs, *addends, *further, *begun)]
    of_stream = [*kernel.output.parameters, *pointers, *((name, F32) for name in scales)]
    read = [("weights", PTR)] + [("lists", PTR)] * (kernel.block_rows != 0) + [("sums", PTR)] * made
    read = [(f"sum{i}", Type("i32", isa.lanes)) for i in range(len(tiles[0]) // isa.lanes) if given] + read
    parameters = [*read, *((named(name, stream), type_) for stream in range(streams) for name, type_ in of_stream)]
    name = kernel.name + f"_{sums_are}" * (made or given) + f"_of_{streams}_streams" * (streams > 1)
    k = Function(name, parameters, isa.lanes, isa.fused, look_up=isa.look_up_floats)
    columns, band = columns_of(kernel.format, isa), kernel.block_rows // isa.lanes
    finishing = range(streams if sums_are != "passed_on" else 0)
    sinks = [Sink(k, kernel.output, isa, lambda name, stream=stream: k[named(name, stream)]) for stream in finishing]
    # What follows a tile's totals is a long chain of operations: all tiles' chains run side by side at the end.
    apart = by_fill or (len(tiles) > 1 and kernel.has_long_functions)
    kept = [k.room(kernel.parts * stride) for _ in range(streams)] if apart else None

    def place_of(vector: int, vectors: int) -> int:
        """Where the rows of one of a tile's vectors are among all, from the tile's first element on."""
        part, within = divmod(vector, vectors // parts)
        return part * kernel.output.size + within * k.lanes

    def each(name: str) -> list[Value]:
        """A parameter of every stream."""
        return [k[named(name, stream)] for stream in range(streams)]

    def tile(at: Place, first: Value | int, vectors: int) -> Place:
        """One tile: `vectors` of rows, for elements from `first` on; returns where the next one starts."""
        groups = vectors // parts
        start = at

        def begin() -> Totals:
            """Bias and addends, loaded where they are needed: integer sums want all registers before."""
            bias = row_vectors(k, start, vectors)[0] if kernel.bias else None
            totals = [bias] * streams
            for addend in [] if by_fill else addends:  # they are in the order of the results
                rows = [k.at(x, first) for x in each(addend)]
                loaded = [[k.load(x, place_of(i, vectors)) for i in range(vectors)] for x in rows]
                totals = [
                    [total + x for total, x in zip(mine, more, strict=True)] if mine else more
                    for mine, more in zip(totals, loaded, strict=True)
                ]
            return [mine or [k.splat(0.0)] * vectors for mine in totals]

        if kernel.bias:
            at = at.behind_rows(k, vectors)
        if sums_are == "passed_on":
            (found,), at = bare_sums(at.behind_rows(k, vectors), vectors, first)
            results = [name for name, _ in kernel.output.parameters]
            k.tail_call(end, *found, *(k[name] for name in ("weights", *results, *addends, *further, *scales)))
            return at
        if kernel.unfinished:
            totals, at = bare_sums(at, vectors, first)
        elif FORMATS[kernel.format].block_scales:
            totals, at = sums_of_blocks(at, begin())
        elif FORMATS[kernel.format].block:
            totals, at = sums_in_blocks(at, begin())
        elif integer:
            totals, at = integer_sums(at, vectors, first, begin)
        else:
            totals, at = float_sum(at, begin())
        for stream, mine in enumerate(totals):
            if kept is not None:
                keep(mine, kept[stream], first)
                continue
            for vector, count in [] if kernel.unfinished else side_by_side(groups):
                of_parts = [mine[i + vector : i + vector + count] for i in range(0, vectors, groups)]
                finish(stream, of_parts, first, vector)
            for i, total in enumerate(mine if kernel.unfinished else []):
                sinks[stream].put(total, first + place_of(i, vectors))
        return at

    def keep(totals: list[Value], memory: Value, first: Value | int) -> None:
        """Store the totals of a tile, part by part; those by lanes are put in order later."""
        groups = len(totals) // parts
        for i, total in enumerate(totals):
            if by_fill and kernel.block_rows > 1:
                assert places is not None, "a sparse product has lists"
                to_places(k, total, kernel.block_rows, memory, places, first + i * k.lanes)
            else:
                k.store(total, memory, first + (i % groups * k.lanes + i // groups * stride), align=4 * k.lanes)

    def side_by_side(vectors: int) -> Iterator[tuple[int, int]]:
        """So many vectors, in powers of two that are worked on at once."""
        start, count = 0, isa.side_by_side if kernel.has_long_functions else 1
        while start < vectors:
            while count > vectors - start:
                count //= 2
            yield start, count
            start += count

    def finish(stream: int, totals: list[list[Value]], first: Value | int, vector: int = 0) -> None:
        """From the totals of some vectors of each part to the result, for the elements from `vector` on."""
        count, at = len(totals[0]), [first + (vector + i) * k.lanes for i in range(len(totals[0]))]
        values = [apply(k, kernel.activation, k.joined(part), accuracy) for part in totals]
        values += [k.joined([k.load(each(name)[stream], element) for element in at]) for name in further]
        result = kernel.loop.of(k, values, accuracy, isa.side_by_side > 1) if kernel.loop else values[0]
        for value, element in zip(k.parted(result, count), at, strict=True):
            sinks[stream].put(value, element)

    def add_run(at: Place, totals: Totals, name: str, count: int) -> tuple[Totals, Place]:
        if band:
            return listed(k, isa, columns, band, totals, at, each(name))
        if kernel.block_rows:
            rows, at = by_part(k, isa, columns, words(), k[name], totals[0], at)
            return [rows], at
        of_rows = columns_of(kernel.format, isa, len(totals[0]))
        totals, weights = product(k, isa, of_rows, totals, at.weights, each(name), count)
        return totals, replace(at, weights=weights)

    def with_made(at: Place, totals: Totals, steps: int) -> tuple[Totals, Place]:
        """Sums over so many steps of columns that tiles have made, added to the totals."""
        assert at.sums is not None, "tiles have made sums"
        totals = [
            [
                total + k.load(at.sums, i * WORDS + stream * k.lanes, total.type, 4 * k.lanes)
                for i, total in enumerate(rows)
            ]
            for stream, rows in enumerate(totals)
        ]
        return totals, at.behind_sum(k, len(totals[0]), steps)

    def words() -> Words:
        """How parts of a vector find words of an input."""
        if by_windows(kernel.block_rows, isa.lanes, isa.tables):
            return words_of_windows(k, isa, columns, kernel.block_rows)
        return words_of_groups(k, isa, columns, kernel.block_rows)

    def float_sum(at: Place, totals: Totals) -> tuple[Totals, Place]:
        for name, count in zip(runs[0], kernel.columns[0], strict=True):
            totals, at = add_run(at, totals, name, count)
        if kernel.block_rows:
            return totals, at
        read = columns.bytes * k.lanes * len(totals[0]) * -(-sum(kernel.columns[0]) // columns.count)
        # In float16 the last vector may be half a one.
        return totals, replace(at, weights=k.at(at.weights, rounded(read, 4 * k.lanes) - read, "i8"))

    def sums_of_blocks(at: Place, totals: Totals) -> tuple[Totals, Place]:
        """Each sum in blocks that have scales of their own, then scaled by its inputs' scale."""

        def multiply(sums: list[Value], weights: Value, x: Value, count: int) -> tuple[list[Value], Value]:
            (sums,), weights = product(k, isa, columns, [sums], weights, [x], count)
            return sums, weights

        (rows,) = totals
        blocks = ScaledBlocks(k, columns, FORMATS[kernel.format].block, isa.dots.offset8, LOADS_A_ROUND, multiply)
        for names, counts, scale in zip(runs, kernel.columns, scales, strict=True):
            sums = [k.splat(0.0)] * len(rows)
            for name, count in zip(names, counts, strict=True):
                if kernel.block_rows:
                    (sums,), at = listed(k, isa, columns, band, [sums], at, [k[name]], blocks=blocks)
                else:
                    sums, weights = blocks.product(sums, at.weights, k[name], count)
                    at = replace(at, weights=weights)
            rows = scaled_into(k, rows, sums, [k.broadcast(k[scale])] * len(rows))
        return [rows], at

    def sums_in_blocks(at: Place, totals: Totals) -> tuple[Totals, Place]:
        """Integer sums over so few columns that none can overflow, each scaled by its inputs' scale and the rows'."""
        block, vectors = FORMATS[kernel.format].block, len(totals[0])
        row_scales, at = row_vectors(k, at, vectors)
        for number, (names, counts) in enumerate(zip(runs, kernel.columns, strict=True)):
            scaled = with_inputs(row_scales, number)
            for name, count in zip(names, counts, strict=True):
                if band:
                    totals, at = listed(k, isa, columns, band, totals, at, each(name), scaled[0])
                elif kernel.block_rows:
                    rows, at = by_part(k, isa, columns, words(), k[name], totals[0], at, scaled[0])
                    totals = [rows]
                else:
                    totals, weights = in_blocks(k, isa, columns, at.weights, totals, each(name), count, block, scaled)
                    at = replace(at, weights=weights)
        return totals, at

    def integer_sums(at: Place, vectors: int, first: Value | int, begin: Callable[[], Totals]) -> tuple[Totals, Place]:
        """Each sum in integers, then scaled by its inputs' scale and the rows'."""
        rows_at, at = at, at.behind_rows(k, vectors)
        totals: Totals = []
        for number in range(len(runs)):
            sums, at = bare_sums(at, vectors, first, number)
            scaled = with_inputs(row_vectors(k, rows_at, vectors)[0], number)
            totals = [scaled_into(k, *each_stream) for each_stream in zip(totals or begin(), sums, scaled, strict=True)]
        return totals, at

    def bare_sums(at: Place, vectors: int, first: Value | int, number: int = 0) -> tuple[Totals, Place]:
        """One sum in integers."""
        if given:
            return [[k[f"sum{i}"] for i in range(vectors)]], at
        sums = [[k.constant(Type("i32", k.lanes), 0)] * vectors] * streams
        if kernel.continues:
            begun = [k.at(x, first) for x in each("begun")]
            sums = [[k.load(x, place_of(i, vectors), Type("i32", k.lanes)) for i in range(vectors)] for x in begun]
        elif isa.dots.offset8:  # what the offset of the inputs amounts to
            offsets, at = row_vectors(k, at, vectors, "i32")
            sums = [offsets] * streams
        counts = kernel.columns[number]
        if made:
            return with_made(at, sums, sum(map(steps_of, counts)))
        for name, count in zip(runs[number], counts, strict=True):
            sums, at = add_run(at, sums, name, count)
        return sums, at

    def with_inputs(row_scales: list[Value], number: int) -> Totals:
        """The scales of rows and of a sum's inputs, of each stream."""
        if kernel.one_scale:
            return [row_scales] * streams
        return [[s * k.broadcast(x) for s in row_scales] for x in each(scales[number])]

    def finish_all(kept: list[Value]) -> None:
        """From all totals to the results."""
        for stream, mine in enumerate(kept):
            done, vectors = 0, stride // k.lanes
            for count in (isa.side_by_side >> i for i in range(isa.side_by_side.bit_length())):
                rounds = (vectors - done) // count
                if rounds:
                    with k.loop(rounds) as loop:
                        first = loop.index * (count * k.lanes) + done * k.lanes
                        found = [
                            [total_of(mine, first + (i * k.lanes + part * stride)) for i in range(count)]
                            for part in range(kernel.parts)
                        ]
                        finish(stream, with_addends(found, stream, first) if by_fill else found, first)
                    done += rounds * count

    def total_of(kept: Value, row: Value) -> Value:
        """The totals of a vector of rows."""
        if kernel.block_rows == 1:
            return from_places(k, kept, k["lists"], row)
        return k.load(kept, row, align=4 * k.lanes)

    def with_addends(found: list[list[Value]], stream: int, first: Value) -> list[list[Value]]:
        """The totals of some vectors of each part, for the elements from `first` on, and what is added to them."""
        for addend in addends:
            x = k.at(each(addend)[stream], first)
            found = [
                [total + k.load(x, part * kernel.output.size + i * k.lanes) for i, total in enumerate(vectors)]
                for part, vectors in enumerate(found)
            ]
        return found

    places = lists = None
    if kernel.block_rows:
        places = Written(kernel.pattern, 0) if kernel.pattern else k["lists"]
        lists = behind(k, places, 2 * (rows // kernel.block_rows) if by_fill else 0)
    for_each_tile(k, tiles, parts, Place(k["weights"], lists, k["sums"] if made else None), tile)
    if kept is not None:
        finish_all(kept)
    for sink in sinks:
        sink.finish()
    return k


def named(name: str, stream: int) -> str:
    """The parameter of one of several streams."""
    return f"{name}_of{stream}" if stream else name
