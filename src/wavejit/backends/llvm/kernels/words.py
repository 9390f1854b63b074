"""How the lanes of a sparse product find words of inputs of their own, and what an entry of its lists says of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from wavejit.backends.llvm.builder import I16, I32, Function, Type, Value
from wavejit.backends.llvm.isa import ISA
from wavejit.backends.llvm.kernels.columns import Columns
from wavejit.backends.llvm.kernels.products import Written

Entry = Value | Written


def number(k: Function, entry: Entry, index: Value | int) -> Value | int:
    """A number of an entry: known, or to be loaded."""
    if isinstance(entry, Written):
        assert isinstance(index, int), "code that is written out is at a known place"
        return entry.number(index)
    return k.load(entry, index, I16, align=2).convert("zext", "i64")


def behind(k: Function, entry: Entry, count: int) -> Entry:
    """The place that many bytes behind an entry."""
    return entry.behind(count) if isinstance(entry, Written) else k.at(entry, count, "i8")


@dataclass(frozen=True)
class Words:
    """How the lanes of a vector find words of inputs of their own.

    Attributes:
        entry: bytes of an entry of the lists.
        of: a vector of words, from where its entry and the inputs lie.
    """

    entry: int
    of: Callable[[Entry, Value], Value]


def words_of_windows(k: Function, isa: ISA, columns: Columns, rows: int) -> Words:
    """Each lane takes a word of one vector of inputs, or two, that all see.

    An entry has where these begin, then a byte for each lane; each `rows` of them have the same.
    """
    words, fields = Type("i32", k.lanes), Fields(k, isa, rows)

    def of(entry: Entry, x: Value) -> Value:
        tables = [
            k.load(k.at(x, number(k, entry, table) * columns.input_bytes, "i8"), 0, words)
            for table in range(isa.tables)
        ]
        if isinstance(entry, Written):
            places = fields.of(entry)
        else:
            places = k.load(k.at(entry, fields.behind, "i8"), 0, words.of("i8"), align=1).convert("zext", "i32")
        return k.call(isa.look_up, words, tables[0], places, *tables[1:])

    return Words(fields.entry, of)


class Fields:
    """The places that lanes of written windows take their words from, in as few bits of a lane as they need.

    The bits of several entries are a constant; each takes its own by a shift, and looking up ignores those above.
    """

    def __init__(self, k: Function, isa: ISA, rows: int) -> None:
        self._k, self._isa, self._rows = k, isa, rows
        self.behind = 2 * isa.tables  # bytes of an entry before its places
        self.entry = self.behind + k.lanes
        self._bits = (isa.tables * k.lanes).bit_length() - 1
        self._made: dict[int, Value] = {}  # by where the first entry is

    def of(self, entry: Written) -> Value:
        """A vector of places, with other bits above."""
        within = entry.entries(self.entry) % (32 // self._bits)
        first = entry.at - within * self.entry
        if first not in self._made:
            self._made[first] = self._together(entry, first)
        return self._made[first] >> within * self._bits if within else self._made[first]

    def _together(self, entry: Written, first: int) -> Value:
        """The places of as many entries as a vector has bits for."""
        k, rows = self._k, self._rows
        bits = [0] * (k.lanes // rows)
        for i in range(32 // self._bits):
            start = first + i * self.entry + self.behind
            for group, place in enumerate(entry.data[start : start + k.lanes : rows]):
                bits[group] |= (place & (1 << self._bits) - 1) << i * self._bits
        # LLVM would shift constants itself, and load one for each entry.
        (held,) = k.held([k.integers(bits)], self._isa.register)
        return held if rows == 1 else k.shuffle(held, [lane // rows for lane in range(k.lanes)])


def words_of_groups(k: Function, isa: ISA, columns: Columns, rows: int) -> Words:
    """Each group of `rows` lanes takes the word that the entry names for it."""
    groups = range(k.lanes // rows)
    masks = [k.mask([lane // rows == group for lane in range(k.lanes)], isa.mask_register) for group in groups[1:]]

    def of(entry: Entry, x: Value) -> Value:
        steps = [number(k, entry, group) for group in groups]
        found, *others = [k.broadcast(k.load(k.at(x, step * columns.input_bytes, "i8"), 0, I32)) for step in steps]
        for mask, other in zip(masks, others, strict=True):
            found = k.select(mask, other, found)
        return found

    return Words(2 * len(groups), of)
