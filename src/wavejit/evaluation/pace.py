"""Level, silences and pace: what shows that a voice stalls, babbles or is too soft."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

FRAME_SECONDS = 0.01
LOUD_PERCENTILE = 95.0  # of the frames' levels: speech, and no single click
SPEECH_DECIBELS = 35.0  # below it a frame is silent
SOFTEST = 1e-10  # amplitude: a level of -200 dB instead of minus infinity


def level(samples: ArrayLike) -> float:
    """Root mean square of a signal `(samples,)`, in dB against full scale."""
    return float(_decibels(np.asarray(samples, np.float64)[None])[0])


def speech_frames(samples: ArrayLike, sample_rate: int) -> NDArray[np.bool_]:
    """Which frames of 10 ms are louder than silence: `(frames,)`; none of a signal of zeros."""
    x = np.asarray(samples, np.float64)
    size = round(FRAME_SECONDS * sample_rate)
    levels = _decibels(x[: len(x) // size * size].reshape(-1, size))
    loud = np.percentile(levels, LOUD_PERCENTILE) if len(levels) else 0.0
    return levels > max(loud - SPEECH_DECIBELS, 20 * np.log10(SOFTEST))


def speech_seconds(samples: ArrayLike, sample_rate: int) -> float:
    """From the first frame of speech to the last."""
    speaks = np.flatnonzero(speech_frames(samples, sample_rate))
    return float(speaks[-1] - speaks[0] + 1) * FRAME_SECONDS if len(speaks) else 0.0


def longest_silence(samples: ArrayLike, sample_rate: int) -> float:
    """The longest stretch without speech between the first frame of speech and the last, in seconds."""
    speaks = np.flatnonzero(speech_frames(samples, sample_rate))
    if not len(speaks):
        return len(np.asarray(samples)) / sample_rate
    return float(np.diff(speaks, prepend=speaks[0] - 1).max() - 1) * FRAME_SECONDS


def speaking_rate_ratio(recorded: ArrayLike, made: ArrayLike, sample_rate: int) -> float | None:
    """How many times as fast the same words are spoken as in the recording; None where nothing is spoken."""
    spoken = speech_seconds(made, sample_rate)
    return speech_seconds(recorded, sample_rate) / spoken if spoken else None


def _decibels(frames: NDArray[np.float64]) -> NDArray[np.float64]:
    """The level of each row."""
    return 20 * np.log10(np.maximum(np.sqrt((frames**2).mean(axis=1)), SOFTEST))
