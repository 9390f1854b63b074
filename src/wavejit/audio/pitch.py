"""Fundamental frequency: the best path through the peaks of a normalised cross-correlation.

Source: Talkin 1995, "A robust algorithm for pitch tracking (RAPT)": its correlation, costs and dynamic programming,
over every lag instead of a list of candidates.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

LOWEST, HIGHEST = 65.0, 500.0  # Hz, of a voice that reads

_RATE = 8000  # Hz: the harmonics that carry pitch lie below 4 kHz
_WINDOW = 0.020  # s that are compared with what they were a lag before
_SHORT_LAG = 0.25  # that a lag's correlation loses by the longest: two periods match as well as one
_VOICED_AT = 0.45  # the correlation from which a frame counts as voiced
_OCTAVE = 0.6  # cost of a leap by an octave from a frame to the next
_ONSET = 0.20  # cost of starting or ending a voiced stretch
_QUIET = 10 ** (-60 / 20)  # amplitude against full scale below which nothing correlates
_FRAMES_AT_ONCE = 4096


def fundamental_frequency(samples: ArrayLike, sample_rate: int, hop_length: int) -> NDArray[np.float32]:
    """F0 of each frame.

    Args:
        samples: `(samples,)`, in [-1, 1].
        sample_rate: in Hz.
        hop_length: samples between frames; frame t is about sample `t * hop_length`.

    Returns:
        `(samples // hop_length + 1,)`, in Hz from `LOWEST` to `HIGHEST`; 0 where the frame is not voiced.
    """
    import soxr

    signal = np.asarray(samples, np.float32)
    frames = len(signal) // hop_length + 1
    low = soxr.resample(signal, sample_rate, _RATE) if sample_rate != _RATE else signal
    lags = np.arange(int(_RATE / HIGHEST), int(np.ceil(_RATE / LOWEST)) + 1)
    centres = np.round(np.arange(frames) * hop_length * (_RATE / sample_rate)).astype(np.int64)
    blocks = np.array_split(centres, range(_FRAMES_AT_ONCE, frames, _FRAMES_AT_ONCE))
    correlation = np.concatenate([_correlation(low, block, lags) for block in blocks])
    path = _best_path(_at_tops(correlation), lags)
    voiced = path >= 0
    f0 = np.zeros(frames, np.float32)
    f0[voiced] = _RATE / _refined(correlation[voiced], path[voiced], lags)
    return f0


def continuous(f0: ArrayLike) -> NDArray[np.float32]:
    """F0 `(frames,)` with its unvoiced stretches filled by a straight line in log frequency; 0 if none is voiced."""
    values = np.asarray(f0, np.float32)
    voiced = np.flatnonzero(values)
    if not len(voiced):
        return values
    return np.exp(np.interp(np.arange(len(values)), voiced, np.log(values[voiced]))).astype(np.float32)


def _correlation(
    signal: NDArray[np.float32], centres: NDArray[np.int64], lags: NDArray[np.int64]
) -> NDArray[np.float32]:
    """`(frames, lags)`: a window about each centre against the same a lag later, from -1 to 1."""
    width, longest = int(_WINDOW * _RATE), int(lags[-1])
    reach = (width + longest) // 2 + 1
    padded = np.pad(signal, (reach, reach + longest + width))
    stretches = sliding_window_view(padded, width + longest)[centres + reach - (width + longest) // 2].astype(
        np.float64
    )
    stretches = stretches - stretches.mean(1, keepdims=True)
    size = 1 << (width + longest).bit_length()
    products = np.fft.irfft(np.fft.rfft(stretches, size) * np.conj(np.fft.rfft(stretches[:, :width], size)), size)[
        :, lags
    ]
    energy = np.cumsum(np.pad(stretches**2, ((0, 0), (1, 0))), 1)
    here, there = energy[:, width][:, None], energy[:, lags + width] - energy[:, lags]
    return (products / np.sqrt(here * there + (width * _QUIET**2) ** 2)).astype(np.float32)


def _at_tops(correlation: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each peak with the height of the parabola through it and its neighbours.

    The highest voices have peaks between two lags; as they stand, two periods that end on a lag would seem more alike.
    """
    before, here, after = correlation[:, :-2], correlation[:, 1:-1], correlation[:, 2:]
    curve = before - 2 * here + after
    peak = (here >= before) & (here >= after) & (curve < -1e-6)
    height = here - (before - after) ** 2 / (8 * np.where(peak, curve, -1))
    topped = correlation.copy()
    topped[:, 1:-1] = np.where(peak, np.minimum(height, 1), here)
    return topped


def _best_path(correlation: NDArray[np.float32], lags: NDArray[np.int64]) -> NDArray[np.int64]:
    """The index of each frame's lag on the cheapest path; -1 where it is not voiced."""
    frames, count = correlation.shape
    voiced_cost = 1 - correlation * (1 - _SHORT_LAG * lags / lags[-1]).astype(np.float32)
    unvoiced_cost = 1 - _VOICED_AT
    octaves = np.abs(np.log2(lags[:, None] / lags[None, :])).astype(np.float32)
    leap = _OCTAVE * np.minimum(octaves, 1)
    voiced, unvoiced = np.zeros(count, np.float32), np.float32(0)
    came_from = np.empty((frames, count + 1), np.int16)  # the last column: of the unvoiced state
    for t in range(frames):
        glided = voiced[:, None] + leap
        best = glided.argmin(0)
        reached = glided[best, np.arange(count)]
        started = unvoiced + _ONSET
        came_from[t, :count] = np.where(reached <= started, best, -1)
        last = voiced.argmin()
        ended = voiced[last] + _ONSET
        came_from[t, count] = last if ended < unvoiced else -1
        unvoiced = min(ended, unvoiced) + unvoiced_cost
        voiced = np.minimum(reached, started) + voiced_cost[t]
        least = min(voiced.min(), unvoiced)
        voiced, unvoiced = voiced - least, unvoiced - least
    path = np.empty(frames, np.int64)
    state = int(voiced.argmin()) if voiced.min() < unvoiced else -1
    for t in range(frames - 1, -1, -1):
        path[t] = state
        state = int(came_from[t, state])  # -1 is the last column: the unvoiced state's own
    return path


def _refined(correlation: NDArray[np.float32], path: NDArray[np.int64], lags: NDArray[np.int64]) -> NDArray[np.float64]:
    """The lag at the top of the parabola through each chosen correlation and its neighbours."""
    inner = np.clip(path, 1, len(lags) - 2)
    rows = np.arange(len(path))
    before, here, after = (correlation[rows, inner + step].astype(np.float64) for step in (-1, 0, 1))
    curve = before - 2 * here + after
    offset = np.where(curve < -1e-6, 0.5 * (before - after) / np.minimum(curve, -1e-6), 0.0)
    return (lags[inner] + np.clip(offset, -1, 1) + (path - inner)).astype(np.float64)
