"""What is measured of each clip, and of all together."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

import msgspec

Summary = Callable[[Sequence[float], Sequence[float]], float]  # of values and their weights


class Scores(msgspec.Struct, frozen=True, kw_only=True):
    """Measures of audio; None where one was not asked for, has nothing to be compared with, or is not defined.

    Attributes:
        nll: negative log-likelihood of the recording, nats a sample, teacher-forced.
        log_mel_correlation: with the recording, from -1 to 1.
        mcd: mel-cepstral distortion from the recording, dB.
        pesq: wide-band, from 1.0 to 4.64.
        stoi: up to 1.
        dnsmos_overall, dnsmos_signal, dnsmos_background, dnsmos_p808: from 1 to 5.
        f0_within_10_percent: share of the frames voiced in both.
        f0_rmse: in Hz, over the frames voiced in both.
        voicing_error: share of the frames voiced in one and not in the other.
        level: in dB against full scale.
        level_difference: from the recording, in dB.
        longest_silence: between the first speech and the last, in seconds.
        speaking_rate_ratio: over the recording's; 1 is as fast.
        word_error_rate: of a small recogniser, over the words of the text.
    """

    nll: float | None = None
    log_mel_correlation: float | None = None
    mcd: float | None = None
    pesq: float | None = None
    stoi: float | None = None
    dnsmos_overall: float | None = None
    dnsmos_signal: float | None = None
    dnsmos_background: float | None = None
    dnsmos_p808: float | None = None
    f0_within_10_percent: float | None = None
    f0_rmse: float | None = None
    voicing_error: float | None = None
    level: float | None = None
    level_difference: float | None = None
    longest_silence: float | None = None
    speaking_rate_ratio: float | None = None
    word_error_rate: float | None = None


class ClipScores(msgspec.Struct, frozen=True, kw_only=True):
    """Of one clip: what was made, and its recording beside.

    Attributes:
        name: the recording's file name.
        seconds: that were compared.
        words: of its text; 0 where that is not known.
    """

    name: str
    seconds: float
    words: int
    made: Scores
    recording: Scores


def summarised(clips: Sequence[ClipScores], of: Callable[[ClipScores], Scores], summary: Summary) -> Scores:
    """One figure for each measure over the clips that have it; None where none has."""
    figures: dict[str, float] = {}
    for field in Scores.__struct_fields__:
        weigh = WEIGHTS.get(field, lambda clip: 1.0)
        found = [(value, weigh(clip)) for clip in clips if (value := getattr(of(clip), field)) is not None]
        if found:
            values, weights = zip(*found, strict=True)
            figures[field] = summary(values, weights)
    return Scores(**figures)


# So that likelihoods are means over samples, and word errors over words, however the clips are cut.
WEIGHTS: dict[str, Callable[[ClipScores], float]] = {
    "nll": lambda clip: clip.seconds,
    "word_error_rate": lambda clip: clip.words,
}


def mean(values: Sequence[float], weights: Sequence[float]) -> float:
    """The weighted mean."""
    return statistics.fmean(values, weights)


def median(values: Sequence[float], weights: Sequence[float]) -> float:
    """The weights do not count."""
    return statistics.median(values)


def gaps(clips: Sequence[ClipScores]) -> list[str]:
    """A sentence for each measure that some clips have and others lack: what a mean does not tell."""
    sentences: list[str] = []
    for field in Scores.__struct_fields__:
        lacking = sum(getattr(clip.made, field) is None for clip in clips)
        if 0 < lacking < len(clips):
            sentences.append(f"{field} is not defined for {lacking} of {len(clips)} clips")
    return sentences
