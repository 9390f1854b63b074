"""Leave out weights that are zeros, where a matrix has enough of them.

    %4 = affine[int8] W @ %1 + b       ->     %4 = affine[int8, sparse 16] W @ %1 + b

A block is some vectors of rows high and as wide as what the format keeps in a word, or gives a scale: 16 x 4 for int8
and one 512-bit vector, 32 x 1 for float32 and two, 16 x 32 for int4 and one. The zeros are found in the weights;
nothing has to be declared. Where blocks are lower than a vector, each group of its lanes can take words of its own rows
(`sparse 4`), and where zeros make no blocks at all each lane (`sparse 1`), if the processor can look them up. Rows, or
groups of them, with about as many words then share vectors, wherever they lie (`by fill`), so that no lane waits long
for another.

Where there are not too many blocks, and few in a band of rows, the code of each product has them one by one
(`written`): two instructions each, and nothing to find out. Otherwise, and on slower clocks, code reads a list of its
blocks for each band, and layers of one shape share it whatever their pattern.

What costs least is chosen, and a matrix stays dense where that costs less than any. The unit is what it takes to
multiply a vector of words by its inputs; finding them is more of it than in a dense product.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from wavejit.ir.formats import FORMATS, nonzero_blocks
from wavejit.ir.graph import Editor
from wavejit.ir.layout import padded_rows
from wavejit.ir.ops import Affine, Ref, Step
from wavejit.ir.runs import by_fill, by_windows, windows
from wavejit.ir.target import Target


@dataclass(frozen=True)
class Costs:
    """What finding words costs beside their products, in products of a vector.

    Attributes:
        list: of each list.
        entry: of each block, where blocks are vectors high.
        group: of each group of lanes that take their own.
        window: where each lane takes its own.
        scaled: of a product whose sum has to be scaled before another can be added.
    """

    list: float
    entry: float
    group: float
    window: float
    scaled: float


LISTED = Costs(2.0, 1.0, 0.52, 2.3, 1.0)
WRITTEN = Costs(0.5, 0.5, 0.3, 1.2, 0.1)
# To put the totals of rows by fill in order: of a product, which waits for all of them, of each vector of rows whose
# totals are found one by one, and of each group that is put into its place.
COST_OF_WAIT, COST_OF_PLACES, COST_OF_PUTTING = 50.0, 12.0, 0.4
# Entries of a list of bands that are written out, on average. Each is 14 bytes of code, which runs once a tick and
# comes from as far as weights do: of longer lists that costs more than to find out where they end.
LONGEST_WRITTEN = 4
BANDS = (1, 2, 4)  # vectors of rows
GROUPS = (4, 8)  # rows, of vectors that have more
MOST_BY_WINDOWS = 0.3  # of a matrix; with more words the windows cannot pay
MOST_PLACES = 32768  # of totals that are kept until all are there, by 16 bits, with the padding of parts


@dataclass(frozen=True)
class _Way:
    """A way to leave out zeros.

    Attributes:
        block_rows: of blocks; 0 for a dense product.
        by_fill: whether rows are in an order of their own.
        lists: of blocks.
        entries: of all lists.
        vectors: of rows that each entry multiplies.
        words: of each of them.
        finds: how many inputs of an entry are found one by one.
        finding: what it costs to find the inputs of an entry.
        beside: what it costs that does not depend on how words are found.
    """

    block_rows: int
    by_fill: bool = False
    lists: int = 0
    entries: int = 0
    vectors: int = 1
    words: int = 1
    finds: int = 1
    finding: Callable[[Costs], float] = lambda costs: costs.entry
    beside: float = 0.0

    @property
    def written(self) -> int:
        """How long its code is, in products and what each is multiplied by."""
        return self.entries * self.vectors * self.words * self.finds

    def cost(self, costs: Costs, is_scaled: bool) -> float:
        each = self.finding(costs) + self.vectors * (self.words + costs.scaled * is_scaled)
        return self.beside + costs.list * self.lists + each * self.entries


def leave_out_zeros(step: Step, target: Target) -> Step:
    """Mark the products whose zeros are worth leaving out."""
    edit = Editor(step)
    products = [(ref, line, line.op) for ref, line in edit if isinstance(line.op, Affine)]
    ways = {ref: _ways(step, op, target) for ref, line, op in products if line.size >= target.lanes}
    fast = {ref for ref in ways if step.lines[ref].clock == 1}

    def best(ref: Ref, op: Affine, costs: Costs) -> _Way:
        return min(ways[ref], key=lambda way: way.cost(costs, _is_scaled(op)))

    written = {ref: best(ref, op, WRITTEN) for ref, _, op in products if ref in fast}
    short = {
        ref
        for ref, way in written.items()
        if way.block_rows < target.lanes or way.entries <= LONGEST_WRITTEN * way.lists
    }
    few = sum(written[ref].written for ref in short) <= target.written
    for ref, _, op in products:
        if ref in ways:
            by_code = few and ref in short
            way = written[ref] if by_code else best(ref, op, LISTED)
            written_out = by_code and way.block_rows > 0
            edit.change(ref, replace(op, block_rows=way.block_rows, by_fill=way.by_fill, written=written_out))
    return edit.step()


def _ways(step: Step, op: Affine, target: Target) -> list[_Way]:
    """All ways to multiply by a product's weights, dense first."""
    format = FORMATS[op.format]
    ways = [_Way(0, beside=_dense_cost(step, op, target))]
    # Behind the end of an input floats may be anything, and a step of columns must not reach beyond.
    if format.limit > 0 or all(step.lines[x].size % format.columns == 0 for x in op.inputs):
        ways += [_in_bands(step, op, band, target) for band in BANDS]
        if format.is_word:
            lower = [rows for rows in GROUPS if rows < target.lanes]
            ways += [_by_part(step, op, rows, fill, target) for rows in lower for fill in (False, True)]
            ways += [_by_part(step, op, 1, True, target)] if target.tables else []
    return ways


def _dense_cost(step: Step, op: Affine, target: Target) -> float:
    return sum(
        -(-rows // target.lanes) * -(-columns // FORMATS[op.format].columns)
        for rows, columns in (step.weights[name].shape for name in op.weights)
    )


def _is_scaled(op: Affine) -> bool:
    """Whether its sums would overflow in integers."""
    return FORMATS[op.format].block > 0 and not FORMATS[op.format].block_scales


def _in_bands(step: Step, op: Affine, band: int, target: Target) -> _Way:
    """Blocks of some vectors of rows."""
    masks = [nonzero_blocks(step.weights[name], band * target.lanes, op.format) for name in op.weights]
    lists, entries = sum(len(mask) for mask in masks), sum(int(mask.sum()) for mask in masks)
    words = FORMATS[op.format].unit // FORMATS[op.format].columns
    return _Way(band * target.lanes, False, lists, entries, band, words)


def _by_part(step: Step, op: Affine, rows: int, fill: bool, target: Target) -> _Way:
    """Blocks lower than a vector, each group of lanes or each lane for itself, as they will be packed."""
    lanes, tables = target.lanes, target.tables
    groups = lanes // rows
    masks = [padded_rows(nonzero_blocks(step.weights[name], rows, op.format), groups, 1) for name in op.weights]
    pieces = len(masks[0])  # of totals that are put in order
    too_full = by_windows(rows, lanes, tables) and any(mask.mean() > MOST_BY_WINDOWS for mask in masks)
    if too_full or (fill and pieces > MOST_PLACES):
        return _Way(rows, fill, beside=float("inf"))
    order = by_fill(np.concatenate(masks, axis=1)) if fill else np.arange(pieces)
    if by_windows(rows, lanes, tables):
        found = [windows(np.repeat(mask[order], rows, axis=0), lanes, tables) for mask in masks]
        entries, finds = [len(starts) for vectors in found for starts, _ in vectors], 1
    else:
        longest = [mask[order].sum(axis=1).reshape(-1, groups).max(axis=1) for mask in masks]
        entries, finds = [int(entries) for each in longest for entries in each], groups

    def finding(costs: Costs) -> float:
        return costs.window if by_windows(rows, lanes, tables) else costs.group * groups

    places = COST_OF_PLACES * (pieces // lanes) if rows == 1 else COST_OF_PUTTING * pieces
    beside = COST_OF_WAIT + places if fill else 0.0
    return _Way(rows, fill, len(entries), sum(entries), finds=finds, finding=finding, beside=beside)
