"""Distance of two spectral envelopes: mel-cepstral distortion."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wavejit.audio import FeatureContract, mel_features

Array = NDArray[np.float64]

HOP_SECONDS, WINDOW_SECONDS = 0.005, 0.025
BANDS = 40
COEFFICIENTS = 13  # the first is the level, and does not count
SPEECH_DECIBELS = 40.0  # below the loudest frame of the recording; what is softer is not compared

DECIBELS = 10 * np.sqrt(2) / np.log(10)


def mel_cepstral_distortion(recorded: ArrayLike, made: ArrayLike, sample_rate: int, warped: bool = False) -> float:
    """How far apart the envelopes are, in decibels, over the frames in which the recording speaks.

    The cepstrum is a cosine transform of the logarithms of mel bands up to half the sample rate. Level does not
    count. Figures made with other envelopes (STRAIGHT, WORLD) or at other rates are not comparable.

    Args:
        recorded: `(samples,)`, in [-1, 1].
        made: `(samples,)`; beyond the shorter of the two nothing is compared, unless `warped`.
        sample_rate: of both, in Hz.
        warped: find the frames that belong together by dynamic time warping.

    Source: Kubichek 1993, "Mel-cepstral distance measure for objective speech quality assessment".
    """
    x, loudness = mel_cepstrum(recorded, sample_rate)
    y, _ = mel_cepstrum(made, sample_rate)
    if warped:
        here, there = warping_path(x[:, 1:], y[:, 1:])
    else:
        here = there = np.arange(min(len(x), len(y)))
    speaks = loudness[here] > loudness.max() - SPEECH_DECIBELS
    difference = x[here[speaks], 1:] - y[there[speaks], 1:]
    return float(DECIBELS * np.sqrt((difference**2).sum(axis=1)).mean()) if len(difference) else 0.0


def mel_cepstrum(samples: ArrayLike, sample_rate: int) -> tuple[Array, Array]:
    """The cepstrum of each frame, `(frames, COEFFICIENTS + 1)`, and its loudness in decibels, `(frames,)`."""
    window = round(WINDOW_SECONDS * sample_rate)
    contract = FeatureContract(
        sample_rate=sample_rate,
        hop_length=round(HOP_SECONDS * sample_rate),
        window_length=window,
        n_fft=4 * window,  # fine enough for the narrowest band
        bins=BANDS,
        f_max=sample_rate / 2,
        centre="zero",
    )
    logs = mel_features(samples, contract).astype(np.float64)
    order, band = np.arange(COEFFICIENTS + 1)[:, None], np.arange(BANDS) + 0.5
    cosines = 2 / BANDS * np.cos(np.pi / BANDS * order * band)
    return logs @ cosines.T, 10 * np.log10(np.exp(2 * logs).sum(axis=1))


def warping_path(x: Array, y: Array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The frames of `x` and of `y`, each `(frames, size)`, that dynamic time warping lays beside one another."""
    from librosa.sequence import dtw

    _, path = dtw(X=x.T, Y=y.T, metric="euclidean")
    return path[::-1, 0], path[::-1, 1]
