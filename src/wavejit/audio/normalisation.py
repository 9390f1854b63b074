"""What comes after the logarithm: nothing, a range of decibels, or each bin's own mean and variance."""

import msgspec
import numpy as np
from numpy.typing import NDArray

from wavejit.audio.checks import is_number, require


class RangeNormalisation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="range"):
    """Decibels mapped linearly to `[low, high]` and clipped there.

    `low + (high - low) * (dB - reference_db - minimum_db) / -minimum_db`.

    Attributes:
        minimum_db: level that maps to `low`, in dB below `reference_db`; negative.
        reference_db: level that maps to `high`, in dB.
        low: smallest value: 0 in WaveRNN, -4 in symmetric Tacotron features.
        high: largest value: 1 in WaveRNN, 4 in symmetric Tacotron features.
    """

    minimum_db: float = -100.0
    reference_db: float = 0.0
    low: float = 0.0
    high: float = 1.0


class BinNormalisation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="bins"):
    """`(x - mean) / sqrt(variance)`, a mean and a variance for each bin: tuples of `bins` floats."""

    mean: tuple[float, ...]
    variance: tuple[float, ...]


Normalisation = RangeNormalisation | BinNormalisation


def check_normalisation(normalisation: object, bins: int, log: str) -> None:
    """Raise an InputError that names the field where a contract cannot have this normalisation."""
    match normalisation:
        case None:
            return
        case RangeNormalisation(minimum_db=minimum, reference_db=reference, low=low, high=high):
            require(log == "decibel", "log", log, "decibel, for the normalisation is a range of decibels")
            require(is_number(minimum) and minimum < 0, "normalisation.minimum_db", minimum, "below 0")
            require(is_number(reference), "normalisation.reference_db", reference, "a number")
            require(is_number(low), "normalisation.low", low, "a number")
            require(is_number(high) and high > low, "normalisation.high", high, f"above low ({low:g})")
        case BinNormalisation(mean=mean, variance=variance):
            for field, values in (("normalisation.mean", mean), ("normalisation.variance", variance)):
                require(isinstance(values, tuple), field, type(values).__name__, "a tuple of numbers")
                require(len(values) == bins, field, f"{len(values)} values", f"{bins}, one a bin")
                bad = next((v for v in values if not is_number(v)), None)
                require(bad is None, field, bad, "finite numbers")
            require(all(v > 0 for v in variance), "normalisation.variance", min(variance), "above 0 in each bin")
        case other:
            require(False, "normalisation", other, "None, RangeNormalisation or BinNormalisation")


def normalise(mel: NDArray[np.float64], normalisation: Normalisation | None) -> NDArray[np.float64]:
    """Normalise log-mel frames `(frames, bins)`."""
    match normalisation:
        case RangeNormalisation(minimum_db=minimum, reference_db=reference, low=low, high=high):
            return np.clip(low + (high - low) * (mel - reference - minimum) / -minimum, low, high)
        case BinNormalisation(mean=mean, variance=variance):
            return (mel - np.asarray(mean)) / np.sqrt(variance)
        case None:
            return mel
