"""Where weights lie: chunks take turns among a few places, and the fastest is kept."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from wavejit.model import load
from wavejit.runtime import placement
from wavejit.runtime.engine import Engine
from wavejit.runtime.placement import CHUNKS, PLACES, SMALLEST, Places, aligned_zeros


def array(size: int) -> NDArray[np.float32]:
    data = aligned_zeros(size // 4)
    data[:] = np.arange(data.size)
    return data


def test_the_place_that_is_read_fastest_is_kept() -> None:
    places = Places(array(SMALLEST))
    seen: list[int] = []

    def run(data: NDArray[np.float32]) -> float:
        assert np.array_equal(data, array(SMALLEST))
        address = data.ctypes.data
        if address not in seen:
            seen.append(address)
        return [0.5, 0.3, 0.2, 0.4][seen.index(address)]

    for _ in range(PLACES * CHUNKS):
        assert not places.settled
        places.read(100, run)
    assert places.settled
    assert len(seen) == PLACES
    assert places.best.ctypes.data == seen[2]
    places.read(100, run)
    assert places.best.ctypes.data == seen[2]


def test_a_chunk_may_end_after_another_thread_has_settled() -> None:
    """Its time counts for the copy that it read, and what was kept stays one of the copies."""
    places = Places(array(SMALLEST))
    read: list[int] = []

    def settle_meanwhile(data: NDArray[np.float32]) -> float:
        read.append(data.ctypes.data)
        for _ in range(PLACES * (CHUNKS + 1)):
            places.read(100, lambda other: 0.1 if other.ctypes.data == read[0] else 0.2)
        assert places.settled
        return 0.1

    places.read(100, settle_meanwhile)
    assert places.settled
    assert places.best.ctypes.data == read[0]


def test_short_chunks_tell_nothing() -> None:
    places = Places(array(SMALLEST))
    for _ in range(10 * PLACES * CHUNKS):
        places.read(1, lambda data: placement.SHORTEST / 2)
    assert not places.settled


@pytest.mark.parametrize("size", [64, SMALLEST - 64, placement.LARGEST + 64])
def test_what_fits_anywhere_or_nowhere_is_not_copied(size: int) -> None:
    assert Places(array(size)).settled


def test_no_sample_depends_on_the_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "SMALLEST", 0)
    monkeypatch.setattr(placement, "SHORTEST", 0.0)
    model = load("wavernn-64")
    engine = model.compile("int8").engine
    assert isinstance(engine, Engine)
    assert not engine.places.settled
    chunks = [stream.run(50) for stream in [engine.stream(seed=3)] for _ in range(PLACES * CHUNKS + 2)]
    assert engine.places.settled
    assert np.array_equal(np.concatenate(chunks), engine.stream(seed=3).run(50 * len(chunks)))
