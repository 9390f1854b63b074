"""Forced alignment: the best path is found, and boundaries that were put into a posterior come out of it."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from wavejit.errors import InputError
from wavejit.training.alignment import AlignedUtterance, Phone
from wavejit.training.segmentation.compare import boundary_kinds, compare, offsets, without_offsets
from wavejit.training.segmentation.pairs import (
    CLASSES,
    SYMBOLS,
    boundaries,
    locate,
    move_boundaries,
    pair_classes,
)

HELLO = AlignedUtterance(
    ("hello",),
    50,
    (
        Phone("SIL", -1, 0, 5),
        Phone("HH", 0, 5, 12),
        Phone("AH0", 0, 12, 20),
        Phone("L", 0, 20, 28),
        Phone("OW1", 0, 28, 45),
        Phone("SIL", -1, 45, 50),
    ),
)
PLACES = np.array([5.0, 12, 20, 28, 45])


def test_hello_is_five_pairs() -> None:
    names = [(SYMBOLS[(c - 1) // len(SYMBOLS)], SYMBOLS[(c - 1) % len(SYMBOLS)]) for c in pair_classes(HELLO.phones)]
    assert names == [("SIL", "HH"), ("HH", "AH"), ("AH", "L"), ("L", "OW"), ("OW", "SIL")]
    assert list(pair_classes(HELLO.phones[1:-1])) == list(pair_classes(HELLO.phones))  # the ends are always pauses
    assert pair_classes(HELLO.phones).max() < CLASSES
    assert list(boundaries(HELLO)) == list(PLACES)


def posterior(places: NDArray[np.int64], labels: NDArray[np.int64], frames: int) -> NDArray[np.float32]:
    """Peaks of three frames at `places`, over noise that names other labels."""
    random = np.random.default_rng(0)
    probabilities = random.uniform(0.01, 0.05, (frames, 12))
    probabilities[:, 0] = 1.0
    for place, label in zip(places, labels, strict=True):
        for at, height in ((place - 1, 0.6), (place, 3.0), (place + 1, 0.6)):
            if 0 <= at < frames:
                probabilities[at, label] = height
    return np.log(probabilities / probabilities.sum(axis=1, keepdims=True)).astype(np.float32)


@given(st.lists(st.integers(3, 9), min_size=1, max_size=12), st.data())
def test_known_boundaries_are_recovered(gaps: list[int], data: st.DataObject) -> None:
    places = np.cumsum(gaps)
    labels = np.array(data.draw(st.lists(st.integers(1, 11), min_size=len(gaps), max_size=len(gaps))))
    found = locate(posterior(places, labels, int(places[-1]) + 4), labels)
    np.testing.assert_allclose(found, places, atol=0.3)


@pytest.mark.parametrize("labels", [[1, 2], [1, 1], [2, 1, 2]])
def test_the_path_is_the_best_of_all(labels: list[int]) -> None:
    """Every path of seven frames that says the labels, one by one."""
    log_probabilities = np.log(np.random.default_rng(3).dirichlet(np.ones(3), 7)).astype(np.float32)
    best, where = -np.inf, np.zeros(0)
    for path in product(range(3), repeat=7):
        runs = [0] + [t for t in range(1, 7) if path[t] != path[t - 1]]
        said = [t for t in runs if path[t]]
        if [path[t] for t in said] != labels:
            continue
        score = sum(log_probabilities[t, label] for t, label in enumerate(path))
        if score > best:
            ends = [next((u for u in range(t, 7) if path[u] != path[t]), 7) for t in said]
            weights = [np.exp(log_probabilities[t:u, path[t]].astype(float)) for t, u in zip(said, ends, strict=True)]
            means = [np.average(np.arange(t, u), weights=w) for t, u, w in zip(said, ends, weights, strict=True)]
            best, where = score, np.array(means)
    np.testing.assert_allclose(locate(log_probabilities, np.array(labels)), where, atol=1e-6)


def test_too_short_a_recording_is_refused() -> None:
    with pytest.raises(InputError, match="2 frames found for 2 phonemes; expected 3 at least"):
        locate(np.zeros((2, 3), dtype=np.float32), np.array([1, 1]))


@given(st.lists(st.floats(-5, 60), min_size=5, max_size=5))
def test_any_places_give_phones_without_gaps(places: list[float]) -> None:
    moved = move_boundaries(HELLO, np.sort(places))
    assert (moved.phones[0].start, moved.phones[-1].end) == (0, 50)
    assert all(phone.end > phone.start for phone in moved.phones)
    assert list(moved.boundaries) == [phone.end for phone in moved.phones[:-1]]
    assert [p.phoneme for p in moved.phones if p.word == 0] == ["HH", "AH0", "L", "OW1"]


def test_right_places_change_nothing_and_wrong_ones_are_measured() -> None:
    assert move_boundaries(HELLO, PLACES) == HELLO
    # Coefficients that are constant within each phone: the right boundaries leave no spread.
    coefficients = np.repeat(np.arange(6.0), [p.end - p.start for p in HELLO.phones])[:, None].astype(np.float32)
    later = move_boundaries(HELLO, PLACES + np.array([0, 1, 2, 3, 1]))
    figures = compare([later], [HELLO], [coefficients])
    assert (figures.count, figures.median, figures.bias) == (5, 10.0, 10.0)
    assert figures.within_20 == pytest.approx(0.8)
    assert figures.spread > figures.spread_reference == 0


def test_offsets_are_found_and_taken_away() -> None:
    kinds = boundary_kinds(HELLO)
    assert kinds[0] == ("pause", "fricative")
    assert kinds[-1] == ("vowel", "pause")
    late = PLACES + np.array([2, -1, 3, 0, 1])
    later = offsets([late] * 20, [HELLO] * 20)
    np.testing.assert_allclose(without_offsets(late, HELLO, later), PLACES)
    assert later["stop", "stop"] == 1.0  # never seen: the median of all
