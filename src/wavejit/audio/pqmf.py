"""Split a signal into bands of equal width at a fraction of its rate, and join them again.

A pseudo-quadrature mirror filter bank: one low-pass prototype, shifted to each band by a cosine. Neighbouring bands'
aliases cancel, and any tone comes back with an error 50 dB below it.

Sources: Nguyen 1994, "Near-perfect-reconstruction pseudo-QMF banks"; the prototype is a Kaiser window's, as in Lin and
Vaidyanathan 1998.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

from wavejit.errors import InputError

Array = NDArray[np.float64]

TICKS_A_FILTER = 16  # that a filter spans
KAISER_BETA = 9.0
CUTOFFS = {2: 0.285, 3: 0.1896, 4: 0.142}  # of the prototype, by bands, over half the sample rate: the flattest


def prototype(bands: int) -> Array:
    """The low-pass filter that all bands share: `(16 * bands - 1,)`, symmetric, with a sum of about 1."""
    if bands not in CUTOFFS:
        raise InputError(f"bands is {bands}; expected {min(CUTOFFS)} to {max(CUTOFFS)}")
    times, cutoff = _times(bands), CUTOFFS[bands]
    return cutoff * np.sinc(cutoff * times) * np.kaiser(len(times), KAISER_BETA)


def analysis_filters(bands: int) -> Array:
    """A filter a band, lowest band first: `(bands, 16 * bands - 1)`."""
    return _modulated(bands, 1.0)


def synthesis_matrix(bands: int) -> Array:
    """What joins the bands of one tick and of the 15 before it into that tick's samples: `(bands, 16 * bands)`.

    Column `bands * ago + band` multiplies what the band was `ago` ticks ago.
    """
    filters = np.pad(bands * _modulated(bands, -1.0), ((0, 0), (0, 1)))
    by_tick = filters.reshape(bands, TICKS_A_FILTER, bands)  # band, ago, sample of the tick
    return by_tick.transpose(2, 1, 0).reshape(bands, -1)


def delay(bands: int) -> int:
    """Samples by which `synthesis(analysis(x))` is behind `x`: half of it from each."""
    return TICKS_A_FILTER * bands - 2


def split_bands(samples: ArrayLike, bands: int) -> Array:
    """The bands of a signal, one value of each every `bands` samples.

    Args:
        samples: `(samples,)`; silence before the start, and after the end up to a whole tick.
        bands: 2 to 4.

    Returns:
        `(ticks, bands)`, lowest band first. A full-scale tone within a band makes about 1; noise can make more.
    """
    filters = analysis_filters(bands)
    x = np.asarray(samples, np.float64)
    padded = np.pad(x, (filters.shape[1] - 1, bands))  # the last tick may be cut short
    ends = slice(0, len(x), bands)
    return sliding_window_view(padded, filters.shape[1])[ends] @ filters[:, ::-1].T


def join_bands(values: ArrayLike) -> Array:
    """The signal of bands `(ticks, bands)`, silent before the start: `(ticks * bands,)`."""
    x = np.asarray(values, np.float64)
    bands = x.shape[1]
    past = np.pad(x, ((TICKS_A_FILTER, 0), (0, 0)))
    newest_first = sliding_window_view(past, TICKS_A_FILTER, axis=0)[1:, :, ::-1].transpose(0, 2, 1)
    return (newest_first.reshape(len(x), TICKS_A_FILTER * bands) @ synthesis_matrix(bands).T).reshape(-1)


def _modulated(bands: int, sign: float) -> Array:
    """The prototype shifted to each band; `sign` of the phases that let neighbouring aliases cancel."""
    band = np.arange(bands)[:, None]
    phase = sign * (-1.0) ** band * np.pi / 4
    return 2 * prototype(bands) * np.cos((2 * band + 1) * np.pi / (2 * bands) * _times(bands) + phase)


def _times(bands: int) -> Array:
    """Samples from the middle of a filter."""
    middle = TICKS_A_FILTER * bands // 2 - 1
    return np.arange(-middle, middle + 1, dtype=np.float64)
