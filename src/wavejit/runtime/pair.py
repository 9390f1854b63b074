"""Two threads for one stream: a helper that is parked between chunks, and the choice whether it is worth waking.

Both ways give the same bytes, so that the choice can be made anew for each chunk: by the time a tick took lately in
either way. A core that another program uses, or a network too small to share, shows in that time.
"""

from __future__ import annotations

import queue
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field

from wavejit.runtime.cores import pinned, taken

SHORTEST = 1e-3  # seconds of a chunk that is worth waking a thread for
TRY_AGAIN = 0.5  # seconds until the slower way is tried again

Entry = Callable[[], None]
Item = tuple[Entry, int, threading.Event]  # what to run, on which core, and what tells that it is over


@dataclass
class Way:
    """One of two ways to run a chunk."""

    tick_seconds: float | None = None  # lately; None before the first chunk
    tried: float = -1e9  # when, on the monotonic clock


@dataclass
class Choice:
    """Which way is faster at present."""

    alone: Way = field(default_factory=Way)
    together: Way = field(default_factory=Way)

    def is_together(self, ticks: int) -> bool:
        """Whether the next chunk should be run by two threads."""
        now, alone, together = time.monotonic(), self.alone, self.together
        if alone.tick_seconds is None:
            return False
        if alone.tick_seconds * ticks < SHORTEST:
            return False
        if together.tick_seconds is None:
            return True
        faster = together.tick_seconds < alone.tick_seconds
        stale = now - (alone if faster else together).tried > TRY_AGAIN
        return faster != stale

    def took(self, way: Way, ticks: int, seconds: float) -> None:
        """Note how long a chunk took."""
        if seconds >= SHORTEST or way.tick_seconds is None:
            way.tick_seconds, way.tried = seconds / max(ticks, 1), time.monotonic()


class Pair:
    """Runs chunks, on two threads where that is faster. One caller at a time has the helper; others run alone."""

    def __init__(self) -> None:
        self.choice = Choice()
        self._work: queue.SimpleQueue[Item | None] = queue.SimpleQueue()
        self._busy = threading.Lock()
        self._helper: threading.Thread | None = None

    def run(self, ticks: int, alone: Entry, first: Entry, second: Entry) -> None:
        """Run a chunk: `alone`, or `first` and `second` at once."""
        together = self.choice.is_together(ticks)
        started = time.perf_counter()
        if together and self.together(first, second):
            self.choice.took(self.choice.together, ticks, time.perf_counter() - started)
            return
        started = time.perf_counter()
        alone()
        self.choice.took(self.choice.alone, ticks, time.perf_counter() - started)

    def together(self, first: Entry, second: Entry) -> bool:
        """Run both at once, each pinned to a core of its own; False, and nothing run, where there are no two."""
        if not self._busy.acquire(blocking=False):
            return False
        try:
            with taken(2) as cores:
                if cores is None:
                    return False
                if self._helper is None:
                    self._helper = threading.Thread(target=_help, args=(self._work,), daemon=True)
                    self._helper.start()
                    weakref.finalize(self, self._work.put, None)
                done = threading.Event()
                self._work.put((second, cores[1], done))
                try:
                    with pinned(cores[0]):
                        first()
                finally:
                    done.wait()  # even where the caller is interrupted: the helper writes to its arrays until then
                return True
        finally:
            self._busy.release()


def _help(work: queue.SimpleQueue[Item | None]) -> None:
    """Run what comes; parked until then. Holds no reference to what it works for."""
    while True:
        item = work.get()
        if item is None:
            return
        entry, core, done = item
        with pinned(core):
            entry()
        del item, entry
        done.set()
