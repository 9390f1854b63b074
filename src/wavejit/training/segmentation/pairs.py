"""Pairs of neighbouring phonemes, and where they are in what the network says.

"Hello" is written (SIL HH) (HH AH) (AH L) (L OW) (OW SIL). CTC makes a network say each label in one short peak and
nothing (the blank) elsewhere, and a pair can best be told where both of its phonemes are near: the peak of (AH L)
is the boundary between AH and L. Stress is left out: it moves no boundary.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from wavejit.errors import InputError
from wavejit.text.phonemes import CONSONANTS, PAUSE, VOWELS, without_stress
from wavejit.training.alignment import AlignedUtterance, Phone

SYMBOLS = (PAUSE, *CONSONANTS, *VOWELS)
BLANK = 0
CLASSES = 1 + len(SYMBOLS) ** 2
"""The blank, then every pair, the first phoneme's index counting in steps of `len(SYMBOLS)`."""

_INDEX = {symbol: index for index, symbol in enumerate(SYMBOLS)}


def pair_classes(phones: Sequence[Phone]) -> NDArray[np.int64]:
    """The classes of an utterance's pairs, with a pause at each end if there is none.

    Returns:
        `(pairs,)`, 1 to `CLASSES - 1`: one for each phoneme's start and one for the last one's end, pauses at the
        ends not counted.
    """
    symbols = [_INDEX[without_stress(phone.phoneme)] for phone in strip_pauses(phones)]
    left, right = np.array([0, *symbols]), np.array([*symbols, 0])
    return 1 + left * len(SYMBOLS) + right


def strip_pauses(phones: Sequence[Phone]) -> Sequence[Phone]:
    """The phones without a pause at either end; those inside stay."""
    first = 1 if phones[0].phoneme == PAUSE else 0
    last = len(phones) - 1 if phones[-1].phoneme == PAUSE else len(phones)
    return phones[first:last]


def locate(log_probabilities: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Where each label is said, on the most probable path of CTC that says exactly these.

    Args:
        log_probabilities: `(frames, classes)`, natural logarithms; class 0 is the blank.
        labels: `(labels,)`, at least one.

    Returns:
        `(labels,)`, in frames, increasing by at least 1 once rounded: of the frames that the path gives to a label
        the mean, weighted by its probability.

    Raises:
        InputError: there are fewer frames than labels (with one more between two equal neighbours) need.

    Source: Graves et al. 2006, Connectionist Temporal Classification, with the maximum in place of the sum.
    """
    frames, repeats = len(log_probabilities), int((labels[1:] == labels[:-1]).sum())
    if frames < len(labels) + repeats:
        raise InputError(f"{frames} frames found for {len(labels)} phonemes; expected {len(labels) + repeats} at least")
    # States: blank, label, blank, label, …, blank. From each one stays, goes on, or leaves a blank out.
    classes = np.full(2 * len(labels) + 1, BLANK)
    classes[1::2] = labels
    scores = log_probabilities[:, classes].astype(np.float64)
    may_skip = np.zeros(len(classes), dtype=bool)
    may_skip[3::2] = labels[1:] != labels[:-1]

    best = np.full(len(classes), -np.inf)
    best[:2] = scores[0, :2]
    steps = np.zeros((frames, len(classes)), dtype=np.int8)
    for t in range(1, frames):
        on = np.concatenate([[-np.inf], best[:-1]])
        skip = np.where(may_skip, np.concatenate([[-np.inf, -np.inf], best[:-2]]), -np.inf)
        choices = np.stack([best, on, skip])
        steps[t] = choices.argmax(axis=0)
        best = choices.max(axis=0) + scores[t]

    path = np.zeros(frames, dtype=np.int64)
    path[-1] = len(classes) - 1 - int(best[-2] > best[-1])
    for t in range(frames - 1, 0, -1):
        path[t - 1] = path[t] - steps[t, path[t]]
    said = np.flatnonzero(path % 2)  # frames of labels
    label, weight = path[said] // 2, np.exp(scores[said, path[said]]) + 1e-12
    return np.bincount(label, weight * said) / np.bincount(label, weight)


def boundaries(utterance: AlignedUtterance) -> NDArray[np.int64]:
    """Where each pair of an alignment lies, `(pairs,)`, in frames: every phone's start, and the last one's end."""
    phones = strip_pauses(utterance.phones)
    return np.array([*(phone.start for phone in phones), phones[-1].end])


def move_boundaries(utterance: AlignedUtterance, places: NDArray[np.float64]) -> AlignedUtterance:
    """The phones of `utterance` between other boundaries.

    Args:
        utterance: words, phonemes and length are kept; a pause at an end is there if `places` leave it time.
        places: `(pairs,)`, in frames; rounded, and moved where a phone would have no frame.
    """
    bounds = _apart(places, utterance.frames)
    phones = [
        Phone(phone.phoneme, phone.word, int(start), int(end))
        for phone, start, end in zip(strip_pauses(utterance.phones), bounds[:-1], bounds[1:], strict=True)
    ]
    if bounds[0] > 0:
        phones.insert(0, Phone(PAUSE, -1, 0, int(bounds[0])))
    if bounds[-1] < utterance.frames:
        phones.append(Phone(PAUSE, -1, int(bounds[-1]), utterance.frames))
    return AlignedUtterance(utterance.words, utterance.frames, tuple(phones))


def _apart(places: NDArray[np.float64], frames: int) -> NDArray[np.int64]:
    """Whole frames from 0 to `frames`, each at least one after the one before it."""
    count = np.arange(len(places))
    forward = np.maximum.accumulate(np.rint(places).astype(np.int64) - count) + count
    limit = frames - count[::-1]
    return np.maximum(np.minimum(forward, limit), count)
