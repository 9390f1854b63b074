"""All measures of one clip."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wavejit.audio import log_mel_correlation
from wavejit.errors import InputError
from wavejit.evaluation.opinion import dnsmos, pesq, stoi
from wavejit.evaluation.pace import level, longest_silence, speaking_rate_ratio
from wavejit.evaluation.pitch import pitch_error
from wavejit.evaluation.scores import ClipScores, Scores
from wavejit.evaluation.spectrum import mel_cepstral_distortion
from wavejit.evaluation.words import recognised, word_error_rate, words_of

Audio = NDArray[np.float32]

MEASURES = ("nll", "spectrum", "pesq", "stoi", "dnsmos", "pitch", "pace", "words")
WITHOUT_ALIGNMENT = ("spectrum", "dnsmos", "pace", "words")  # nor a model


@dataclass(frozen=True)
class Clip:
    """A recording, and what was made to be like it.

    Attributes:
        name: the recording's file name.
        recorded, made: `(samples,)`, in [-1, 1].
        sample_rate: of both, in Hz.
        text: what is said; None where that is not known.
        aligned: whether sample t of one is sample t of the other.
        nll: of the recording, nats a sample; None without a model.
    """

    name: str
    recorded: Audio
    made: Audio
    sample_rate: int
    text: str | None
    aligned: bool
    nll: float | None = None


def measures_named(text: str | None) -> tuple[str, ...]:
    """The measures that a list such as "nll,pesq" names; all for None. Raises InputError for others."""
    if text is None:
        return MEASURES
    names = text.split(",")
    for name in names:
        if name not in MEASURES:
            raise InputError(f"metrics has {name!r}, expected some of {', '.join(MEASURES)}")
    return tuple(names)


def scores(clip: Clip, measures: Collection[str]) -> ClipScores:
    """Measure one clip. What needs aligned signals stays None without them, but for `mcd`, which then warps time."""
    words = words_of(clip.text or "")
    wanted = set(measures) - (set() if words else {"words"})
    made = _alone(clip.made, clip.sample_rate, wanted, words)
    recording = _alone(clip.recorded, clip.sample_rate, wanted, words)
    return ClipScores(
        name=clip.name,
        seconds=len(clip.recorded) / clip.sample_rate,
        words=len(words),
        made=Scores(nll=clip.nll, **_beside(clip, wanted), **made),
        recording=Scores(**recording),
    )


def _alone(samples: Audio, sample_rate: int, measures: Collection[str], words: list[str]) -> dict[str, Any]:
    """Measures that need no recording beside."""
    found: dict[str, Any] = {}
    if "dnsmos" in measures:
        opinion = dnsmos(samples, sample_rate)
        found |= {
            "dnsmos_overall": opinion.overall,
            "dnsmos_signal": opinion.signal,
            "dnsmos_background": opinion.background,
            "dnsmos_p808": opinion.p808,
        }
    if "pace" in measures:
        found |= {"level": level(samples), "longest_silence": longest_silence(samples, sample_rate)}
    if "words" in measures:
        found["word_error_rate"] = word_error_rate(words, recognised(samples, sample_rate))
    return found


def _beside(clip: Clip, measures: Collection[str]) -> dict[str, Any]:
    """Measures that compare with the recording."""
    found: dict[str, Any] = {}
    pair, rate = (clip.recorded, clip.made), clip.sample_rate
    if "spectrum" in measures:
        found["mcd"] = mel_cepstral_distortion(*pair, rate, warped=not clip.aligned)
    if "pace" in measures:
        found["level_difference"] = level(clip.made) - level(clip.recorded)
        found["speaking_rate_ratio"] = speaking_rate_ratio(*pair, rate)
    if not clip.aligned:
        return found
    if "spectrum" in measures:
        found["log_mel_correlation"] = log_mel_correlation(*pair, rate)
    if "pesq" in measures:
        found["pesq"] = pesq(*pair, rate)
    if "stoi" in measures:
        found["stoi"] = stoi(*pair, rate)
    if "pitch" in measures:
        pitch = pitch_error(*pair, rate)
        found |= {"f0_within_10_percent": pitch.within, "f0_rmse": pitch.rmse, "voicing_error": pitch.voicing}
    return found
