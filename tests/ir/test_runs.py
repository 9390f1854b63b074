"""How sparse products take their words: each once, and from where the code looks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wavejit.ir.runs import by_fill, by_windows, windows


@pytest.mark.parametrize("tables", [1, 2])
@given(
    lanes=st.sampled_from([4, 8, 16]),
    bands=st.integers(1, 4),
    columns=st.integers(1, 70),
    density=st.floats(0, 1),
    seed=st.integers(0, 99),
)
def test_each_word_is_taken_once(tables: int, lanes: int, bands: int, columns: int, density: float, seed: int) -> None:
    nonzero = np.random.default_rng(seed).random((bands * lanes, columns)) < density
    found = list(windows(nonzero, lanes, tables))
    assert len(found) == bands
    for band, (starts, taken) in enumerate(found):
        rows = nonzero[band * lanes : (band + 1) * lanes]
        assert starts.shape == (len(taken), tables)
        assert len(taken) >= rows.sum(axis=1).max(), "a row takes one word at a time"
        for lane, row in enumerate(rows):
            assert sorted(taken[taken[:, lane] >= 0, lane]) == np.flatnonzero(row).tolist()
        behind = taken[:, :, None] - starts[:, None, :]
        assert (((behind >= 0) & (behind < lanes)).any(axis=2) | (taken < 0)).all(), "it lies in one of the windows"
        assert (taken >= 0).any(axis=1).all(), "no window is for nothing"
        if tables == 2:
            assert (starts % lanes == 0).all(), "whole vectors, which registers can hold"


def test_two_vectors_serve_rows_that_one_window_could_not() -> None:
    """Half of the rows have their words on the left, the others on the right."""
    nonzero = np.zeros((16, 64), np.bool_)
    nonzero[:8, :5] = nonzero[8:, 50:55] = True
    ((one, _),) = windows(nonzero, 16, 1)
    ((two, _),) = windows(nonzero, 16, 2)
    assert len(one) == 10
    assert len(two) == 5


def test_full_rows_share_vectors() -> None:
    nonzero = np.arange(40)[None, :] < np.array([1, 40, 3, 40, 2, 7])[:, None]
    assert by_fill(nonzero).tolist() == [1, 3, 5, 2, 4, 0]


@pytest.mark.parametrize(
    ("block_rows", "lanes", "tables", "expected"),
    [(1, 8, 1, True), (4, 8, 1, False), (4, 16, 2, True), (8, 16, 2, False), (16, 16, 2, False), (0, 16, 2, False)],
)
def test_who_takes_words_by_windows(block_rows: int, lanes: int, tables: int, expected: bool) -> None:
    assert by_windows(block_rows, lanes, tables) == expected
