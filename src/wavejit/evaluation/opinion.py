"""What listeners would say, as published models predict it: PESQ and STOI beside a recording, DNSMOS without one."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import soxr
from numpy.typing import ArrayLike, NDArray

RATE = 16_000  # Hz, of wide-band PESQ and of DNSMOS


@dataclass(frozen=True)
class Opinion:
    """DNSMOS, each from 1 to 5: overall, signal and background after ITU-T P.835, and overall after P.808."""

    overall: float
    signal: float
    background: float
    p808: float


def pesq(recorded: ArrayLike, made: ArrayLike, sample_rate: int) -> float | None:
    """Wide-band PESQ of two aligned signals, from 1.0 to 4.64; None where it finds no speech.

    Source: ITU-T P.862.2.
    """
    from pesq import BufferTooShortError, NoUtterancesError
    from pesq import pesq as wide_band

    if not np.any(recorded) or not np.any(made):
        return None  # the library divides by the peak
    try:
        return float(wide_band(RATE, resampled(recorded, sample_rate), resampled(made, sample_rate), "wb"))
    except (BufferTooShortError, NoUtterancesError):
        return None


def stoi(recorded: ArrayLike, made: ArrayLike, sample_rate: int) -> float | None:
    """Short-time objective intelligibility of two aligned signals, up to 1; None where less than 0.4 s is spoken.

    Source: Taal et al. 2011.
    """
    from pystoi import stoi as intelligibility

    with warnings.catch_warnings():
        warnings.filterwarnings("error", "Not enough STFT frames", RuntimeWarning)
        try:
            return float(intelligibility(np.asarray(recorded), np.asarray(made), sample_rate))
        except RuntimeWarning:
            return None


def dnsmos(samples: ArrayLike, sample_rate: int) -> Opinion:
    """DNSMOS of a signal `(samples,)`, in [-1, 1]; one shorter than 9 s is repeated.

    Source: Reddy et al. 2022, "DNSMOS P.835".
    """
    from speechmos import dnsmos as published

    found: Any = published.run(resampled(samples, sample_rate), sr=RATE)
    return Opinion(*(float(found[name]) for name in ("ovrl_mos", "sig_mos", "bak_mos", "p808_mos")))


def resampled(samples: ArrayLike, sample_rate: int) -> NDArray[np.float32]:
    """At 16 kHz, held to [-1, 1]."""
    x = np.asarray(samples, np.float32)
    return np.clip(soxr.resample(x, sample_rate, RATE, quality="VHQ") if sample_rate != RATE else x, -1.0, 1.0)
