"""Sparse products: lists beside the weights name the inputs that the blocks which are not zeros are multiplied by.

Where each lane takes its own, rows are in another order than the results, and lists begin with where their totals are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from wavejit.backends.llvm.builder import I16, I32, Function, Type, Value
from wavejit.backends.llvm.isa import ISA
from wavejit.backends.llvm.kernels.columns import Columns
from wavejit.backends.llvm.kernels.products import Place, Totals, added
from wavejit.backends.llvm.kernels.scaled_blocks import ScaledBlocks

BLOCKS_A_ROUND = 4  # of a list, a power of two


def listed(
    k: Function,
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

    def one_step(rows: list[Value], here: Value, inputs_at: Value, first: int) -> list[Value]:
        inputs = columns.inputs(k, inputs_at, 0, columns.count)
        return [
            added(k, columns, total, inputs, k.at(here, i * step_bytes, "i8"), scales[first + i] if scales else None)
            for i, total in enumerate(rows)
        ]

    step_bytes = columns.bytes * k.lanes
    for first in range(0, len(totals[0]), band):
        high = len(totals[0][first : first + band])
        block_bytes = blocks.bytes(high) if blocks else step_bytes * high

        def block(here: Value, entry: Value, rows: list[Value], first: int = first, high: int = high) -> list[Value]:
            step = k.load(entry, 0, I16, align=2).convert("zext", "i64")
            made: list[Value] = []
            for stream, start in enumerate(range(0, len(rows), high)):
                mine, inputs_at = rows[start : start + high], k.at(x[stream], step * columns.input_bytes, "i8")
                made += blocks.add_block(mine, here, inputs_at) if blocks else one_step(mine, here, inputs_at, first)
            return made

        rows = [total for of_stream in totals for total in of_stream[first : first + high]]
        rows, weights, lists = by_list(k, rows, weights, lists, block_bytes, 2, block, high == 1)
        for stream, of_stream in enumerate(totals):
            of_stream[first : first + high] = rows[stream * high : (stream + 1) * high]
    return totals, Place(weights, lists)


Block = Callable[[Value, Value, list[Value]], list[Value]]  # totals, from where its weights and its entry lie


def by_list(
    k: Function,
    totals: list[Value],
    weights: Value,
    lists: Value,
    block_bytes: int,
    entry_bytes: int,
    block: Block,
    alternating: bool,
) -> tuple[list[Value], Value, Value]:
    """Add the blocks of one list: how many there are (16 bits), then an entry for each.

    Lists are short, so that what a loop costs beside its body counts: blocks are written out, in rounds of
    `BLOCKS_A_ROUND`, then one by one. Where the next list begins follows from the branches taken, which a processor
    guesses, and not from the count, which it would wait for.

    Args:
        alternating: whether blocks of a round go to two sets of totals in turn, so that fewer wait for each other.
    """
    count = k.load(lists, 0, I16, align=2).convert("zext", "i64")

    def one(number: int, carried: list[Value]) -> list[Value]:
        weights, entry, *totals = carried
        totals = block(weights, entry, totals)
        return [k.at(weights, block_bytes, "i8"), k.at(entry, entry_bytes, "i8"), *totals]

    others = [k.constant(total.type, 0) for total in totals] if alternating else []
    start = [weights, k.at(lists, 2, "i8"), *totals, *others]
    with k.loop(count >> BLOCKS_A_ROUND.bit_length() - 1, carry=start) as loop:
        here, sets = loop.carried[:2], [loop.carried[2 : 2 + len(totals)], loop.carried[2 + len(totals) :]]
        for number in range(BLOCKS_A_ROUND):
            which = number % 2 if alternating else 0
            here[0], here[1], *sets[which] = one(number, [*here, *sets[which]])
        loop.next(*here, *sets[0], *sets[1])
    here, totals, others = loop.results[:2], loop.results[2 : 2 + len(totals)], loop.results[2 + len(totals) :]
    totals = [x + y for x, y in zip(totals, others, strict=True)] if alternating else totals
    rest = count & (BLOCKS_A_ROUND - 1)
    weights, lists, *totals = k.written_out(BLOCKS_A_ROUND - 1, rest, [*here, *totals], one)
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
            return [added(k, columns, totals[0], of_words(k, words.of(entry)), here, scales[i] if scales else None)]

        (totals[i],), weights, lists = by_list(
            k, [total], weights, lists, step_bytes, words.entry, step, alternating=True
        )
    return totals, Place(weights, lists)


def from_places(k: Function, memory: Value, places: Value, row: Value) -> Value:
    """The totals of a vector of rows from `row` on, which lie where their places (16 bits) say."""
    which = k.load(places, row, Type("i16", k.lanes), align=2)
    return k.gather(memory, which.convert("zext", "i32"))
