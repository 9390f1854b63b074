"""Sparse products: lists beside the weights name the inputs that the blocks which are not zeros are multiplied by.

Where rows are by fill, they are in another order than the results, and lists begin with where their totals are or go.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from wavejit.backends.llvm.builder import I16, Function, Type, Value
from wavejit.backends.llvm.isa import ISA
from wavejit.backends.llvm.kernels.columns import Columns
from wavejit.backends.llvm.kernels.products import Place, Totals, Written, added, scaled_into
from wavejit.backends.llvm.kernels.scaled_blocks import ScaledBlocks
from wavejit.backends.llvm.kernels.words import Entry, Words, number
from wavejit.ir.formats import FORMATS

BLOCKS_A_ROUND = 4  # of a list, a power of two
CHAINS = 4  # sums of a written list that do not wait for each other
BLOCKS_A_CHAIN = 4  # that each of them has at least
SUMS_TOGETHER = FORMATS["int16"].block // FORMATS["int16"].columns  # products of words that cannot overflow together


def listed(
    k: Function,
    isa: ISA,
    columns: Columns,
    band: int,
    totals: Totals,
    at: Place,
    x: Sequence[Value],
    scales: list[Value] | None = None,
    blocks: ScaledBlocks | None = None,
) -> tuple[Totals, Place]:
    """Add the blocks of `weights @ x` that the lists name: one list for each `band` vectors of rows.

    A block is one step of columns, or one of `blocks`. Streams go by a list together.
    """
    assert at.lists is not None, "a sparse product has lists"
    totals, weights, lists = [list(of_stream) for of_stream in totals], at.weights, at.lists

    step_bytes = columns.bytes * k.lanes
    for first in range(0, len(totals[0]), band):
        high = len(totals[0][first : first + band])
        inputs_at = [as_new(k, isa, at, each) for each in x]
        block_bytes = blocks.bytes(high) if blocks else step_bytes * high

        def block(here: Value, entry: Entry, rows: list[Value], scales: Scales, x: Sequence[Value]) -> list[Value]:
            step = number(k, entry, 0)
            made: list[Value] = []
            for stream, start in enumerate(range(0, len(rows), len(rows) // len(x))):
                mine, at = rows[start : start + len(rows) // len(x)], k.at(x[stream], step * columns.input_bytes, "i8")
                if blocks:
                    made += blocks.add_block(mine, here, at)
                    continue
                inputs = columns.inputs(k, at, 0, columns.count)
                places = [k.at(here, i * step_bytes, "i8") for i in range(len(mine))]
                of_rows = scales or [None] * len(mine)
                made += [
                    added(k, columns, *each) for each in zip(mine, [inputs] * len(mine), places, of_rows, strict=True)
                ]
            return made

        add = partial(block, x=inputs_at)
        rows = [total for of_stream in totals for total in of_stream[first : first + high]]
        of_band = scales[first : first + high] if scales else None
        rows, weights, lists = by_list(k, rows, weights, lists, block_bytes, 2, add, of_band, high == 1)
        for stream, of_stream in enumerate(totals):
            of_stream[first : first + high] = rows[stream * high : (stream + 1) * high]
    return totals, Place(weights, lists)


Scales = list[Value] | None  # of the rows, where sums of integers would overflow if they were not scaled on the way
# Totals, from where a block's weights and its entry lie; with scales, floats that scaled sums are added to.
Block = Callable[[Value, Entry, list[Value], Scales], list[Value]]


def by_list(
    k: Function,
    totals: list[Value],
    weights: Value,
    lists: Entry,
    block_bytes: int,
    entry_bytes: int,
    block: Block,
    scales: Scales,
    alternating: bool,
) -> tuple[list[Value], Value, Entry]:
    """Add the blocks of one list: how many there are (16 bits), then an entry for each.

    Lists are short, so that what a loop costs beside its body counts: blocks are written out, in rounds of
    `BLOCKS_A_ROUND`, then one by one. Where the next list begins follows from the branches taken, which a processor
    guesses, and not from the count, which it would wait for.

    Args:
        alternating: whether blocks of a round go to two sets of totals in turn, so that fewer wait for each other.
    """
    if isinstance(lists, Written):
        return by_written_list(k, totals, weights, lists, block_bytes, entry_bytes, block, scales, alternating)
    count = k.load(lists, 0, I16, align=2).convert("zext", "i64")

    def one(_: int, carried: list[Value]) -> list[Value]:
        weights, entry, *totals = carried
        totals = block(weights, entry, totals, scales)
        return [k.at(weights, block_bytes, "i8"), k.at(entry, entry_bytes, "i8"), *totals]

    others = [k.constant(total.type, 0) for total in totals] if alternating else []
    start = [weights, k.at(lists, 2, "i8"), *totals, *others]
    with k.loop(count >> BLOCKS_A_ROUND.bit_length() - 1, carry=start) as loop:
        here, sets = loop.carried[:2], [loop.carried[2 : 2 + len(totals)], loop.carried[2 + len(totals) :]]
        for i in range(BLOCKS_A_ROUND):
            which = i % 2 if alternating else 0
            here[0], here[1], *sets[which] = one(i, [*here, *sets[which]])
        loop.next(*here, *sets[0], *sets[1])
    here, totals, others = loop.results[:2], loop.results[2 : 2 + len(totals)], loop.results[2 + len(totals) :]
    totals = [x + y for x, y in zip(totals, others, strict=True)] if alternating else totals
    rest = count & (BLOCKS_A_ROUND - 1)
    weights, lists, *totals = k.written_out(BLOCKS_A_ROUND - 1, rest, [*here, *totals], one)
    return totals, weights, lists


def by_written_list(
    k: Function,
    totals: list[Value],
    weights: Value,
    lists: Written,
    block_bytes: int,
    entry_bytes: int,
    block: Block,
    scales: Scales,
    alternating: bool,
) -> tuple[list[Value], Value, Written]:
    """The same where the list is known: block after block, and sums are scaled as seldom as they can be.

    The blocks of a long list go to several sums in turn: a product waits for the one before it that adds to its sum.
    """
    count, lists = lists.number(0), lists.begin(2)
    zeros = [k.constant(Type("i32", k.lanes) if scales else total.type, 0) for total in totals]
    together = SUMS_TOGETHER if scales else max(1, count)
    for start in range(0, count, together):
        blocks = range(start, min(start + together, count))
        chains = min(len(blocks) // BLOCKS_A_CHAIN, CHAINS) if alternating else 1
        sums = [zeros if scales else totals] + [zeros] * (chains - 1)
        for i in blocks:
            sums[i % len(sums)] = block(k.at(weights, i * block_bytes, "i8"), lists, sums[i % len(sums)], None)
            lists = lists.behind(entry_bytes)
        found = sums[0]
        for other in sums[1:]:
            found = [x + y for x, y in zip(found, other, strict=True)]
        totals = scaled_into(k, totals, found, scales * (len(totals) // len(scales))) if scales else found
    return totals, k.at(weights, count * block_bytes, "i8"), lists


def by_part(
    k: Function,
    isa: ISA,
    columns: Columns,
    words: Words,
    x: Value,
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
        x = as_new(k, isa, at, x)

        def step(here: Value, entry: Entry, totals: list[Value], scales: Scales, x: Value) -> list[Value]:
            inputs = of_words(k, words.of(entry, x))
            return [added(k, columns, totals[0], inputs, here, scales[0] if scales else None)]

        add, of_row = partial(step, x=x), [scales[i]] if scales else None
        (totals[i],), weights, lists = by_list(
            k, [total], weights, lists, step_bytes, words.entry, add, of_row, alternating=True
        )
    return totals, Place(weights, lists)


def as_new(k: Function, isa: ISA, at: Place, x: Value) -> Value:
    """Where inputs lie, for the next list of a written product.

    LLVM would see that lists name the same inputs, keep what it made of them for all lists, and run out of registers.
    """
    return k.held([x], isa.general_register)[0] if isinstance(at.lists, Written) else x


def to_places(k: Function, totals: Value, rows: int, memory: Value, places: Entry, row: Value | int) -> None:
    """Store each group of `rows` totals, of those from `row` on, where its place (16 bits, in groups) says."""
    for group in range(k.lanes // rows):
        at = (row + group * rows) >> rows.bit_length() - 1
        place = number(k, places, at) * rows
        k.store(k.shuffle(totals, range(group * rows, (group + 1) * rows)), memory, place, align=4 * rows)


def from_places(k: Function, memory: Value, places: Value, row: Value) -> Value:
    """The totals of a vector of rows from `row` on, which lie where their places (16 bits) say."""
    which = k.load(places, row, Type("i16", k.lanes), align=2)
    return k.gather(memory, which.convert("zext", "i32"))
