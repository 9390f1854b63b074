"""Mel-frequency cepstral coefficients, of the mel features that there are."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from wavejit.audio.contract import FeatureContract
from wavejit.audio.mel import mel_features
from wavejit.training.alignment import FRAME_LENGTH, SAMPLE_RATE

COEFFICIENTS = 20
CONTRACT = FeatureContract(
    sample_rate=SAMPLE_RATE,
    hop_length=FRAME_LENGTH,
    window_length=400,
    n_fft=512,
    bins=40,
    f_max=SAMPLE_RATE / 2,
    magnitude_power=2.0,
    centre="zero",
    floor=1e-8,
)
"""Windows of 25 ms, the one of frame t centred on the moment at which frame t of an alignment starts."""


def mfcc(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """The coefficients of a signal, each with mean 0 and variance 1 over the utterance.

    Args:
        samples: `(samples,)`, at 16 kHz.

    Returns:
        `(frames, 20)`, `samples // 160 + 1` of them.

    Source: Davis and Mermelstein 1980; the DCT is the orthonormal one of type II.
    """
    coefficients = mel_features(samples, CONTRACT) @ _cosines()
    spread = coefficients.std(axis=0) + 1e-5  # digital silence has none
    return ((coefficients - coefficients.mean(axis=0)) / spread).astype(np.float32)


@lru_cache(maxsize=1)
def _cosines() -> NDArray[np.float64]:
    """`(bins, coefficients)`."""
    bins = CONTRACT.bins
    rows, columns = np.arange(bins)[:, None] + 0.5, np.arange(COEFFICIENTS)
    return np.cos(np.pi / bins * rows * columns) * np.sqrt(np.where(columns == 0, 1, 2) / bins)
