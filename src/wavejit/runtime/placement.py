"""Where in memory an engine's weights lie: a few places are tried with the first chunks, and the best is kept.

A cache keeps what it holds by physical address, and the pages that an array gets from the system may crowd into some
of its sets: weights that nearly fill a cache are then read up to a fifth slower, for as long as they lie there. Trying
costs no time, for chunks that are to be made anyway take turns, and no sample depends on where weights are.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

PLACES = 4
CHUNKS = 5  # that are timed at each place
SHORTEST = 1e-3  # seconds of a chunk that tells enough
SMALLEST, LARGEST = 256 << 10, 8 << 20  # bytes: what is smaller fits anywhere, what is larger nowhere
CACHE_LINE = 64  # bytes, and the widest vector


def aligned_zeros(elements: int) -> Array:
    """Zeros that begin on a cache line."""
    raw = np.zeros(4 * elements + CACHE_LINE, np.uint8)
    start = -raw.ctypes.data % CACHE_LINE
    return raw[start : start + 4 * elements].view(np.float32)


class Places:
    """Copies of one array; `best` is the one to read when there is nothing to be tried. Any number of threads may ask.

    What is tried and its times are one value, so that a thread never sees the copies of one time with the times of
    another.
    """

    def __init__(self, data: Array) -> None:
        count = PLACES if SMALLEST <= data.nbytes <= LARGEST else 1
        copies = [data, *(_copy(data) for _ in range(count - 1))]
        self._tried: tuple[list[Array], list[list[float]]] = copies, [[] for _ in copies]
        self._turn = itertools.count()
        self.best = data

    @property
    def settled(self) -> bool:
        """Whether the best place is known."""
        return len(self._tried[0]) == 1

    def read(self, ticks: int, run: Callable[[Array], float]) -> None:
        """Let `run` read a copy; it returns the seconds that so many ticks took."""
        copies, timed = self._tried
        which = next(self._turn) % len(copies)
        seconds = run(copies[which])
        if len(copies) > 1 and seconds >= SHORTEST:
            timed[which].append(seconds / ticks)
            if all(len(each) >= CHUNKS for each in timed):
                self.best = min(zip(copies, timed, strict=True), key=lambda pair: statistics.median(pair[1]))[0]
                self._tried = [self.best], [[]]


def _copy(data: Array) -> Array:
    """The same on pages of its own."""
    copy = aligned_zeros(data.size)
    copy[:] = data
    return copy
