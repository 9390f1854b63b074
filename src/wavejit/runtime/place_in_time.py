"""What streams of every engine share: their place in time, and that one thread at a time runs them."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


class PlaceInTime:
    """A stream's place in time.

    Attributes:
        ticks: run so far.
    """

    def __init__(self, clock: int, frame_size: int) -> None:
        self.ticks: int = 0
        self._clock, self._frame_size = clock, frame_size
        self._busy = threading.Lock()

    def frames_in(self, ticks: int) -> int:
        """How many conditioning frames begin in the next `ticks` ticks."""
        clock = self._clock
        return 0 if clock == 0 else -(-(self.ticks + ticks) // clock) - -(-self.ticks // clock)

    def checked(self, frames: Array | None, count: int) -> Array:
        """Frames as compiled code wants them; ValueError where they are not `count`."""
        size = self._frame_size
        given = np.zeros((0, size), np.float32) if frames is None else np.ascontiguousarray(frames, np.float32)
        if given.shape != (count, size):
            raise ValueError(f"frames are {given.shape}, expected ({count}, {size})")
        return given

    @contextmanager
    def alone(self) -> Generator[None, None, None]:
        """Hold the stream; RuntimeError if another thread does."""
        if not self._busy.acquire(blocking=False):
            raise RuntimeError("a stream runs in one thread at a time; make a stream for each thread")
        try:
            yield
        finally:
            self._busy.release()
