"""Signals whose measures are known."""

import numpy as np
from numpy.typing import NDArray

Audio = NDArray[np.float32]

RATE = 16000


def voiced(seconds: float = 1.0, pitch: float = 120.0, level: float = 0.3) -> Audio:
    """Harmonics of a pitch that glides up by a tenth, under an envelope of syllables four times a second."""
    t = np.arange(round(seconds * RATE)) / RATE
    phase = 2 * np.pi * np.cumsum(pitch * (1 + 0.1 * t / seconds)) / RATE
    harmonics = sum(np.sin(k * phase) / k for k in range(1, 20))
    syllables = 0.55 - 0.45 * np.cos(2 * np.pi * 4 * t)
    return (level * syllables * harmonics / np.abs(harmonics).max()).astype(np.float32)


def noise(seconds: float = 1.0, level: float = 0.1) -> Audio:
    return (level * np.random.default_rng(0).uniform(-1, 1, round(seconds * RATE))).astype(np.float32)
