"""Which inputs of a product are read as one, and which blocks of its weights are read at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wavejit.ir.formats import FORMATS, scale_groups
from wavejit.ir.layout import Memory
from wavejit.ir.ops import Affine, Ref, Slice, Step

FARTHEST = 65535  # steps of columns from the start of a run: what a list of blocks can name


@dataclass(frozen=True)
class Run:
    """Inputs of one sum that are read from one address.

    Attributes:
        terms: their numbers among the product's terms.
        start: the element of a stream's memory where the first of them lies, or None if that changes from tick to
            tick; a run then has one term.
        steps: for each term, how many steps of columns behind the start it begins.
    """

    terms: tuple[int, ...]
    start: int | None
    steps: tuple[int, ...]


def runs_of(step: Step, memory: Memory, op: Affine) -> list[list[Run]]:
    """The runs of each sum. A dense product reads a run front to back; a sparse one goes by lists."""
    format = FORMATS[op.format]
    words = format.columns * FORMATS[format.inputs].bits // 32  # elements of memory that a step of columns takes
    sizes = [step.lines[x].size for x in op.inputs]
    sums = scale_groups(op.full_scales, sizes) if format.limit else [range(len(op.inputs))]
    found: list[list[Run]] = []
    for terms in sums:
        runs: list[Run] = []
        for i in terms:
            start = input_place(step, memory, op, op.inputs[i])
            if runs and start is not None and runs[-1].start is not None:
                last, steps, rest = runs[-1], *divmod(start - runs[-1].start, words)
                end = last.steps[-1] + sizes[last.terms[-1]] / format.columns
                follows = steps == end and sizes[last.terms[-1]] % format.unit == 0
                within = 0 <= steps and steps + sizes[i] <= FARTHEST if op.block_rows else follows
                if not rest and within:
                    runs[-1] = Run((*last.terms, i), last.start, (*last.steps, steps))
                    continue
            runs.append(Run((i,), start, (0,)))
        found.append(runs)
    return found


def input_place(step: Step, memory: Memory, op: Affine, x: Ref) -> int | None:
    """The element of a stream's memory where a product finds an input, if that is always the same."""
    if FORMATS[op.format].limit:
        integers = memory.integers.get((x, FORMATS[op.format].inputs))
        return integers.offset if integers else None
    return value_place(step, memory, x)


def value_place(step: Step, memory: Memory, ref: Ref) -> int | None:
    """The element of a stream's memory where a value lies as floats, if that is always the same."""
    op = step.lines[ref].op
    if ref in memory.buffers:
        return memory.buffers[ref]
    if isinstance(op, Slice):
        within = value_place(step, memory, op.x)
        return None if within is None else within + op.start
    return None


def blocks(words: NDArray[np.uint32], block_rows: int) -> Iterator[tuple[range, NDArray[np.intp]]]:
    """The rows of each band of blocks, and which of its blocks are not all zeros.

    Args:
        words: a tile of a product's weights, `(rows, blocks, words of a block)`.
        block_rows: rows of a block; the last band may have fewer.
    """
    for start in range(0, len(words), block_rows):
        band = range(start, min(start + block_rows, len(words)))
        yield band, np.flatnonzero(words[band.start : band.stop].any(axis=(0, 2)))


def list_of(columns: Sequence[int]) -> NDArray[np.uint16]:
    """A list of blocks as the code reads it: how many, then the column of each."""
    return np.array([len(columns), *columns], np.uint16)


def by_fill(nonzero: NDArray[np.bool_]) -> NDArray[np.intp]:
    """The rows of a product, or its groups of rows, in the order in which they share vectors: the fullest first.

    A vector of rows has as many entries as its fullest row has words, and more where each lane takes words of a window
    and rows have theirs in other columns: of rows that are as full, those with words on the left come first.

    Args:
        nonzero: which words of the product are not zero, `(rows, columns of words)`.
    """
    count = nonzero.sum(axis=1, dtype=np.intp)
    columns = np.arange(nonzero.shape[1], dtype=np.float64)
    middle = np.where(nonzero, columns, 0.0).sum(axis=1, dtype=np.float64) / np.maximum(count, 1)
    return np.lexsort(np.array([middle, -count]))


def by_windows(block_rows: int, lanes: int, tables: int) -> bool:
    """Whether the lanes of a sparse product take words out of windows, or else groups of them out of all inputs.

    Out of two vectors that costs less than to fetch words of more than two groups one by one.
    """
    return block_rows == 1 or (tables > 1 and 0 < block_rows < lanes // 2)


def windows(nonzero: NDArray[np.bool_], lanes: int, tables: int) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """How a sparse product takes its words by windows: one a row at a time, out of one vector of inputs or two.

    Args:
        nonzero: which words of a tile are not zero, `(rows, columns of words)`; rows are whole vectors.
        lanes: rows of a vector, and columns of one of inputs.
        tables: vectors of inputs that a row can take its word from.

    Yields:
        for each vector of rows: where the vectors of inputs begin `(windows, tables)`, and the column that each row
        takes, or -1, `(windows, lanes)`.
    """
    bands = nonzero.reshape(-1, lanes, nonzero.shape[1])
    yield from (_of_one(band) for band in bands) if tables == 1 else _of_two(bands)


def _of_one(band: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Windows that begin at the first column that any row still has to take; rows whose next one is within take it."""
    lanes, columns = band.shape
    # The columns that each row still has to take, in order; behind them, none.
    left = np.full((lanes, int(band.sum(axis=1).max()) + 1), columns + lanes, np.intp)
    for lane, row in enumerate(band):
        found = np.flatnonzero(row)
        left[lane, : len(found)] = found
    taken = np.zeros(lanes, np.intp)
    starts: list[int] = []
    chosen: list[NDArray[np.intp]] = []
    while (following := left[np.arange(lanes), taken]).min() < columns:
        starts.append(int(following.min()))
        within = following < starts[-1] + lanes
        chosen.append(np.where(within, following, -1))
        taken += within
    return np.array(starts, np.intp)[:, None], np.array(chosen, np.intp).reshape(-1, lanes)


def _of_two(bands: NDArray[np.bool_]) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Pairs of whole vectors, so that registers can hold them; for all bands of rows side by side.

    First the one that fewest rows have words in, then the one in which most of the others have some: what is left to
    the end is what most rows can take together.
    """
    count, lanes, columns = bands.shape
    left = np.pad(bands, ((0, 0), (0, 0), (0, -columns % lanes))).reshape(count, lanes, -1, lanes)
    words: NDArray[np.int16] = left.sum(axis=3, dtype=np.int16)
    each = np.arange(count, dtype=np.intp)
    starts: list[NDArray[np.intp]] = []
    chosen: list[NDArray[np.intp]] = []
    while words.any():
        has = words > 0
        waiting: NDArray[np.intp] = has.sum(axis=1, dtype=np.intp)
        one = np.argmin(np.where(waiting, waiting, lanes + 1), axis=1)
        others = ~has[each, :, one]
        other = np.argmax((has & others[:, :, None]).sum(axis=1), axis=1)
        taken = np.full((count, lanes), -1, np.intp)
        for vector, allowed in ((one, ~others), (other, others)):
            band, lane = np.nonzero(has[each, :, vector] & allowed)
            within = left[band, lane, vector[band]].argmax(axis=1)
            taken[band, lane] = vector[band] * lanes + within
            left[band, lane, vector[band], within] = False
            words[band, lane, vector[band]] -= 1
        starts.append(np.stack([one, other], axis=1) * lanes)
        chosen.append(taken)
    for band in range(count):
        there = [i for i, taken in enumerate(chosen) if taken[band].max() >= 0]
        rows = np.array([chosen[i][band] for i in there], np.intp).reshape(-1, lanes)
        yield np.array([starts[i][band] for i in there], np.intp).reshape(-1, 2), rows


def windows_list(starts: NDArray[np.intp], places: NDArray[np.intp]) -> NDArray[np.uint8]:
    """The windows of a vector of rows as the code reads them.

    Args:
        starts: the step of columns at which each vector of inputs begins, `(windows, tables)`.
        places: the word within these vectors that each row takes, `(windows, lanes)`.
    """
    count = np.array([len(starts)], np.uint16).view(np.uint8)
    begins = np.ascontiguousarray(starts, np.uint16).view(np.uint8)
    return np.concatenate([count, np.concatenate([begins, places.astype(np.uint8)], axis=1).reshape(-1)])


def groups(nonzero: NDArray[np.bool_], lanes: int, rows: int) -> Iterator[NDArray[np.intp]]:
    """How a sparse product by groups takes its words: each group of rows of a vector has columns of its own.

    Args:
        nonzero: which words of a tile are not zero, `(rows, columns of words)`; rows are whole vectors.
        lanes: rows of a vector.
        rows: of a group.

    Yields:
        for each vector of rows: the column that each group takes, or -1, `(entries, groups)`.
    """
    for first in range(0, len(nonzero), lanes):
        by_group = nonzero[first : first + lanes].reshape(-1, rows, nonzero.shape[1])
        taken = [np.flatnonzero(group.any(axis=0)) for group in by_group]
        chosen = np.full((max(map(len, taken)), lanes // rows), -1, np.intp)
        for group, columns in enumerate(taken):
            chosen[: len(columns), group] = columns
        yield chosen


def groups_list(steps: NDArray[np.intp]) -> NDArray[np.uint8]:
    """The entries of a vector of rows as the code reads them; `steps` of columns, `(entries, groups)`."""
    return np.append(np.uint16(len(steps)), steps.astype(np.uint16)).astype(np.uint16).view(np.uint8)
