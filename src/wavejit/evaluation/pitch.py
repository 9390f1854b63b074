"""Whether made speech is voiced where the recording is, and at the same pitch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

LOWEST, HIGHEST = 65.0, 500.0  # Hz, of a voice that reads
FRAME_MILLISECONDS = 10.0
NEAR = 0.1  # of the recording's F0


@dataclass(frozen=True)
class PitchError:
    """How the pitch of two aligned signals differs.

    Attributes:
        within: share of the frames voiced in both whose F0 is within 10 %; None where there are none.
        rmse: root of the mean square difference in Hz, over the same frames; None likewise.
        voicing: share of all frames that are voiced in one and not in the other.
    """

    within: float | None
    rmse: float | None
    voicing: float


def fundamental_frequency(samples: ArrayLike, sample_rate: int) -> NDArray[np.float64]:
    """F0 in Hz each 10 ms, 0 where there is none: `(frames,)`.

    Source: Morise et al. 2009 (DIO), refined as in WORLD (Morise et al. 2016).
    """
    import pyworld

    x = np.ascontiguousarray(samples, np.float64)
    coarse, times = pyworld.dio(x, sample_rate, f0_floor=LOWEST, f0_ceil=HIGHEST, frame_period=FRAME_MILLISECONDS)
    return np.asarray(pyworld.stonemask(x, coarse, times, sample_rate))


def pitch_error(recorded: ArrayLike, made: ArrayLike, sample_rate: int) -> PitchError:
    """Compare the pitch of two aligned signals, `(samples,)` each, in [-1, 1], at `sample_rate` Hz."""
    x, y = (fundamental_frequency(signal, sample_rate) for signal in (recorded, made))
    length = min(len(x), len(y))
    x, y = x[:length], y[:length]
    both = (x > 0) & (y > 0)
    voicing = float(((x > 0) != (y > 0)).mean())
    if not both.any():
        return PitchError(None, None, voicing)
    difference = y[both] - x[both]
    return PitchError(
        float((np.abs(difference) <= NEAR * x[both]).mean()), float(np.sqrt((difference**2).mean())), voicing
    )
