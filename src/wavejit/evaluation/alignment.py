"""The constant delay by which a model's audio is behind the recordings."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wavejit.audio import FeatureContract, mel_features

Array = NDArray[np.float64]
Audio = NDArray[np.float32]

LONGEST_SECONDS = 0.05
HOP_SECONDS, WINDOW_SECONDS = 0.001, 0.01
BANDS = 20


def constant_delay(pairs: Iterable[tuple[ArrayLike, ArrayLike]], sample_rate: int) -> int:
    """Samples by which what was made is behind what was recorded; negative where it is ahead, at most 50 ms.

    It is the shift of the highest cross-correlation of all pairs together, of log-mel frames a millisecond apart: the
    waveforms themselves need not agree, for features do not say the phase. A parabola through the highest value and
    its neighbours gives the fraction of a millisecond.

    Args:
        pairs: recorded and made, each `(samples,)`, in [-1, 1]; some seconds in all.
        sample_rate: of all, in Hz.
    """
    lags = np.arange(-round(LONGEST_SECONDS / HOP_SECONDS), round(LONGEST_SECONDS / HOP_SECONDS) + 1)
    total = np.zeros(len(lags))
    hop = round(HOP_SECONDS * sample_rate)
    for recorded, made in pairs:
        x, y = (_frames(signal, sample_rate, hop) for signal in (recorded, made))
        total += [_product(x, y, int(lag)) for lag in lags]
    best = int(total.argmax())
    fraction = 0.0
    if 0 < best < len(lags) - 1:
        before, here, after = total[best - 1 : best + 2]
        curve = before - 2 * here + after
        fraction = 0.5 * (before - after) / curve if curve < 0 else 0.0
    return round((lags[best] + fraction) * hop)


def aligned(recorded: Audio, made: Audio, delay: int) -> tuple[Audio, Audio]:
    """Both without the delay, cut to their common length."""
    recorded, made = recorded[max(0, -delay) :], made[max(0, delay) :]
    length = min(len(recorded), len(made))
    return recorded[:length], made[:length]


def _frames(samples: ArrayLike, sample_rate: int, hop: int) -> Array:
    """Log-mel frames without each band's mean."""
    window = round(WINDOW_SECONDS * sample_rate)
    contract = FeatureContract(
        sample_rate=sample_rate,
        hop_length=hop,
        window_length=window,
        n_fft=4 * window,
        bins=BANDS,
        f_max=sample_rate / 2,
        centre="zero",
        floor=1e-4,
    )
    frames = mel_features(samples, contract).astype(np.float64)
    return frames - frames.mean(axis=0)


def _product(x: Array, y: Array, lag: int) -> float:
    """Of `x` and of `y` that many frames later, over what both have."""
    x, y = x[max(0, -lag) :], y[max(0, lag) :]
    length = min(len(x), len(y))
    return float((x[:length] * y[:length]).sum())
