"""Leave out weights that are zeros, where a matrix has enough of them.

    %4 = affine[int8] W @ %1 + b       ->     %4 = affine[int8, sparse 16] W @ %1 + b

A block is some vectors of rows high and as wide as what the format keeps in a word, or gives a scale: 16 x 4 for int8
and one 512-bit vector, 32 x 1 for float32 and two, 16 x 32 for int4 and one. The zeros are found in the weights;
nothing has to be declared. Where blocks are lower than a vector, each group of its lanes can take words of its own rows
(`sparse 4`), and where zeros make no blocks at all each lane (`sparse 1`), if the processor can look them up. Rows with
about as many words then share vectors, wherever they lie, so that no lane waits long for another.

Where there are not too many blocks, the code of each product has them one by one (`written`): two instructions each,
and nothing to find out. Otherwise, and on slower clocks, code reads a list of its blocks for each band of rows, and
layers of one shape share it whatever their pattern.

What costs least is chosen, and a matrix stays dense where that costs less than any. The unit is what it takes to
multiply a vector of words by its inputs; finding them is more of it than in a dense product.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from wavejit.ir.formats import FORMATS, nonzero_blocks
from wavejit.ir.graph import Editor
from wavejit.ir.layout import padded_rows, rounded
from wavejit.ir.ops import Affine, Ref, Step
from wavejit.ir.runs import by_fill, windows
from wavejit.ir.target import Target


@dataclass(frozen=True)
class Costs:
    """What finding words costs beside their products, in products of a vector.

    Attributes:
        list: of each list.
        entry: of each block, where blocks are vectors high.
        window: where each lane takes its own.
        group: of each group of lanes that take their own.
        scaled: of a product whose sum has to be scaled before another can be added.
    """

    list: float
    entry: float
    window: float
    group: float
    scaled: float


LISTED = Costs(2.0, 1.0, 2.3, 0.52, 1.0)
WRITTEN = Costs(0.5, 0.5, 1.2, 0.3, 0.1)
# To find the totals of rows that were sorted: of a product, which waits for all of them, and of each vector of rows.
COST_OF_WAIT, COST_OF_PLACES = 50.0, 12.0
BANDS = (1, 2, 4)  # vectors of rows
GROUPS = (4, 8)  # rows, of vectors that have more
MOST_BY_LANE = 0.3  # of a matrix; with more words the windows cannot pay
MOST_ROWS_BY_LANE = 32768  # their totals are kept until all are there, and found by 16 bits, with the padding of parts


@dataclass(frozen=True)
class _Way:
    """A way to leave out zeros: blocks of so many rows, how many vectors are multiplied, and what it costs."""

    block_rows: int
    vectors: int
    cost: float


def leave_out_zeros(step: Step, target: Target) -> Step:
    """Mark the products whose zeros are worth leaving out."""
    fast = {ref for ref, line in step.lines.items() if line.clock == 1}
    written = {ref: way for ref, way in _best(step, target, WRITTEN) if ref in fast}
    few = sum(way.vectors for way in written.values()) <= target.written
    edit = Editor(step)
    for ref, way in _best(step, target, LISTED):
        way = written[ref] if few and ref in written else way
        op = edit.lines[ref].op
        assert isinstance(op, Affine), "products have zeros"
        edit.change(ref, replace(op, block_rows=way.block_rows, written=few and ref in fast and way.block_rows > 0))
    return edit.step()


def _best(step: Step, target: Target, costs: Costs) -> Iterator[tuple[Ref, _Way]]:
    """The cheapest way of each product."""
    for ref, line in step.lines.items():
        op = line.op
        if isinstance(op, Affine) and line.size >= target.lanes and _whole_steps(step, op):
            ways = [_Way(0, 0, _dense_cost(step, op, target))]
            ways += [_in_bands(step, op, band, target, costs) for band in BANDS]
            if FORMATS[op.format].is_word:
                ways += [_by_group(step, op, rows, target, costs) for rows in GROUPS if rows < target.lanes]
            if target.looks_up and FORMATS[op.format].is_word:
                ways.append(_by_lane(step, op, target, costs))
            yield ref, min(ways, key=lambda way: way.cost)


def _whole_steps(step: Step, op: Affine) -> bool:
    """Whether each input ends where a step of columns ends; behind the end floats may be anything."""
    format = FORMATS[op.format]
    return format.limit > 0 or all(step.lines[x].size % format.columns == 0 for x in op.inputs)


def _dense_cost(step: Step, op: Affine, target: Target) -> float:
    return sum(
        -(-rows // target.lanes) * -(-columns // FORMATS[op.format].columns)
        for rows, columns in (step.weights[name].shape for name in op.weights)
    )


def _is_scaled(op: Affine) -> bool:
    """Whether its sums would overflow in integers."""
    return FORMATS[op.format].block > 0 and not FORMATS[op.format].block_scales


def _in_bands(step: Step, op: Affine, band: int, target: Target, costs: Costs) -> _Way:
    masks = [nonzero_blocks(step.weights[name], band * target.lanes, op.format) for name in op.weights]
    lists, entries = sum(len(mask) for mask in masks), sum(int(mask.sum()) for mask in masks)
    words = FORMATS[op.format].unit // FORMATS[op.format].columns
    each = costs.entry + band * (words + costs.scaled * _is_scaled(op))
    return _Way(band * target.lanes, entries * band * words, costs.list * lists + each * entries)


def _by_group(step: Step, op: Affine, rows: int, target: Target, costs: Costs) -> _Way:
    entries, lists, in_a_vector = 0, 0, target.lanes // rows
    for name in op.weights:
        blocks = nonzero_blocks(step.weights[name], rows, op.format).sum(axis=1)
        longest = np.pad(blocks, (0, -len(blocks) % in_a_vector)).reshape(-1, in_a_vector).max(axis=1)
        entries, lists = entries + int(longest.sum()), lists + len(longest)
    return _Way(
        rows, entries, costs.list * lists + (costs.group * in_a_vector + 1 + costs.scaled * _is_scaled(op)) * entries
    )


def _by_lane(step: Step, op: Affine, target: Target, costs: Costs) -> _Way:
    """What windows cost of rows that are sorted, as they will be packed."""
    masks = [nonzero_blocks(step.weights[name], 1, op.format) for name in op.weights]
    rows = rounded(len(masks[0]), target.lanes)
    if rows > MOST_ROWS_BY_LANE or any(mask.mean() > MOST_BY_LANE for mask in masks):
        return _Way(1, 0, float("inf"))
    padded = [padded_rows(mask, target.lanes, 1) for mask in masks]
    order = by_fill(np.concatenate(padded, axis=1))
    counts = [len(starts) for mask in padded for starts, _ in windows(mask[order], target.lanes)]
    cost = COST_OF_WAIT + COST_OF_PLACES * rows / target.lanes + costs.list * len(counts)
    return _Way(1, sum(counts), cost + (costs.window + 1 + costs.scaled * _is_scaled(op)) * sum(counts))
