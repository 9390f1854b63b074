"""Two alignments of the same phones: how far apart their boundaries are, and which ones the sound supports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from wavejit.text.phonemes import PAUSE, VOWELS, without_stress
from wavejit.training.alignment import FRAME_RATE, AlignedUtterance
from wavejit.training.segmentation.pairs import boundaries, strip_pauses

KINDS = {
    "stop": ("P", "T", "K", "B", "D", "G", "CH", "JH"),
    "fricative": ("F", "V", "TH", "DH", "S", "Z", "SH", "ZH", "HH"),
    "nasal": ("M", "N", "NG"),
    "approximant": ("L", "R", "W", "Y"),
    "vowel": VOWELS,
    "pause": (PAUSE,),
}
"""Phonemes by manner: it decides what their boundaries sound like."""

Kinds = tuple[str, str]
_KIND = {phoneme: kind for kind, phonemes in KINDS.items() for phoneme in phonemes}
_FEWEST = 20  # boundaries whose median is worth more than that of all


class Comparison(msgspec.Struct, frozen=True):
    """Boundaries of one alignment against those of another, in ms.

    Attributes:
        count: of boundaries.
        median, percentile_90: of the distances.
        bias: the median of the signed differences; positive where ours is later.
        within_20: share of the distances that are at most 20 ms.
        spread: mean squared distance of coefficients from the mean of their phone, in units of their variance over
            the utterance: the less, the more alike is what lies within a phone. Ours.
        spread_reference: that of the other alignment.
    """

    count: int
    median: float
    percentile_90: float
    bias: float
    within_20: float
    spread: float
    spread_reference: float


def compare(
    ours: Sequence[AlignedUtterance], reference: Sequence[AlignedUtterance], mfcc: Sequence[NDArray[np.float32]]
) -> Comparison:
    """Compare alignments of the same utterances, at least one, with the same phones but for pauses at the ends.

    Args:
        ours: utterances.
        reference: the same utterances in the same order.
        mfcc: of each, `(frames, 20)`.
    """
    pairs = [(boundaries(a), boundaries(b)) for a, b in zip(ours, reference, strict=True)]
    signed = np.concatenate([a - b for a, b in pairs]) * (1000 / FRAME_RATE)
    distance = np.abs(signed)
    return Comparison(
        count=len(signed),
        median=float(np.median(distance)),
        percentile_90=float(np.quantile(distance, 0.9)),
        bias=float(np.median(signed)),
        within_20=float((distance <= 20).mean()),
        spread=_spread(ours, mfcc),
        spread_reference=_spread(reference, mfcc),
    )


def boundary_kinds(utterance: AlignedUtterance) -> list[Kinds]:
    """The manners before and after each boundary, `(pairs,)`."""
    kinds = [_KIND[without_stress(phone.phoneme)] for phone in strip_pauses(utterance.phones)]
    return list(zip(["pause", *kinds], [*kinds, "pause"], strict=True))


def offsets(places: Sequence[NDArray[np.float64]], reference: Sequence[AlignedUtterance]) -> dict[Kinds, float]:
    """How much later than in `reference` the boundaries of each two manners are: the median, in frames.

    CTC leaves open where near a boundary the network says its pair; it settles on a place for each kind of pair, and
    this is what puts that place right. Kinds with few boundaries have the median of all.
    """
    later: dict[Kinds, list[float]] = {(first, second): [] for first in KINDS for second in KINDS}
    for place, utterance in zip(places, reference, strict=True):
        for kinds, difference in zip(boundary_kinds(utterance), place - boundaries(utterance), strict=True):
            later[kinds].append(float(difference))
    overall = float(np.median([difference for some in later.values() for difference in some]))
    return {kinds: float(np.median(some)) if len(some) >= _FEWEST else overall for kinds, some in later.items()}


def without_offsets(
    places: NDArray[np.float64], utterance: AlignedUtterance, later: Mapping[Kinds, float]
) -> NDArray[np.float64]:
    """`places` with what `offsets` found taken away."""
    return places - np.array([later[kinds] for kinds in boundary_kinds(utterance)])


def _spread(utterances: Sequence[AlignedUtterance], mfcc: Sequence[NDArray[np.float32]]) -> float:
    total, count = 0.0, 0
    for utterance, coefficients in zip(utterances, mfcc, strict=True):
        for phone in utterance.phones:
            # A frame at a boundary looks at both sides: the frames within are those whose centres are.
            inside = coefficients[phone.start : phone.end]
            total += float(((inside - inside.mean(axis=0)) ** 2).sum())
            count += inside.size
    return total / count
