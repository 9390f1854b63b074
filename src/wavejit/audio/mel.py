"""Mel features by their contract, in NumPy."""

from functools import lru_cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

from wavejit.audio.companding import preemphasis
from wavejit.audio.contract import FeatureContract, MelScale
from wavejit.audio.normalisation import normalise
from wavejit.audio.pitch import continuous, fundamental_frequency
from wavejit.errors import InputError

LOG_SCALES = {"natural": 1.0, "log10": 1 / np.log(10), "decibel": 20 / np.log(10)}
"""What the natural logarithm is multiplied by to give each kind of logarithm."""

# Slaney's Auditory Toolbox: 200/3 Hz a mel up to 1 kHz, then 27 mels for each factor of 6.4.
_SLANEY_LINEAR = 200.0 / 3.0
_SLANEY_BREAK = 1000.0
_SLANEY_STEP = np.log(6.4) / 27.0

UNKNOWN_PITCH = 150.0  # Hz, of a signal in which nothing is voiced

_BLOCK_VALUES = 1 << 20


def hz_to_mel(hertz: ArrayLike, scale: MelScale) -> NDArray[np.float64]:
    """Frequencies in Hz, of any shape, to mels on Slaney's or HTK's scale."""
    hz = np.asarray(hertz, dtype=np.float64)
    if scale == "htk":
        return np.asarray(2595.0 * np.log10(1.0 + hz / 700.0))
    logarithmic = _SLANEY_BREAK / _SLANEY_LINEAR + np.log(np.maximum(hz, _SLANEY_BREAK) / _SLANEY_BREAK) / _SLANEY_STEP
    return np.where(hz < _SLANEY_BREAK, hz / _SLANEY_LINEAR, logarithmic)


def mel_to_hz(mels: ArrayLike, scale: MelScale) -> NDArray[np.float64]:
    """The inverse of `hz_to_mel`."""
    mel = np.asarray(mels, dtype=np.float64)
    if scale == "htk":
        return np.asarray(700.0 * (10.0 ** (mel / 2595.0) - 1.0))
    above = np.maximum(mel - _SLANEY_BREAK / _SLANEY_LINEAR, 0.0)
    return np.where(above > 0, _SLANEY_BREAK * np.exp(_SLANEY_STEP * above), mel * _SLANEY_LINEAR)


@lru_cache(maxsize=16)
def mel_filterbank(contract: FeatureContract) -> NDArray[np.float64]:
    """Triangular bands, equally spaced in mels.

    Returns:
        `(bins, n_fft // 2 + 1)`, not negative, read-only.

    Source: Slaney 1998, Auditory Toolbox; the HTK Book, section 5.4.
    """
    low, high = hz_to_mel([contract.f_min, contract.f_max], contract.mel_scale)
    edges = mel_to_hz(np.linspace(low, high, contract.bins + 2), contract.mel_scale)
    frequencies = np.arange(contract.n_fft // 2 + 1) * (contract.sample_rate / contract.n_fft)
    lower, peak, upper = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising = (frequencies - lower) / (peak - lower)
    falling = (upper - frequencies) / (upper - peak)
    weights = np.maximum(0.0, np.minimum(rising, falling))
    if contract.mel_norm == "slaney":
        weights *= 2.0 / (upper - lower)
    weights.flags.writeable = False
    return weights


def mel_features(samples: ArrayLike, contract: FeatureContract) -> NDArray[np.float32]:
    """The frames of a signal: mel bins, and the pitch where the contract has it.

    Args:
        samples: `(samples,)`, in [-1, 1], at the contract's sample rate.
        contract: what to compute.

    Returns:
        `(frames, channels)`, `contract.frames(len(samples))` of them.

    Raises:
        InputError: `samples` is not one finite signal, or is too short for one frame.
    """
    signal = np.asarray(samples)
    if signal.ndim != 1 or signal.dtype.kind not in "fiu":
        raise InputError(
            f"samples are {signal.dtype} of shape {signal.shape}; expected real numbers of shape (samples,)"
        )
    frames = contract.frames(len(signal)) if len(signal) else 0
    if frames == 0:
        least = max(1, contract.n_fft - 2 * contract.padding)
        raise InputError(f"samples: {len(signal)} found; one frame needs at least {least}")
    signal = signal.astype(np.result_type(signal.dtype, np.float32), copy=False)
    if not np.isfinite(signal).all():
        raise InputError("samples hold NaN or infinity; expected finite numbers")
    pitch = [pitch_channels(signal, contract, frames)] if contract.pitch else []
    if contract.preemphasis:
        signal = preemphasis(signal, contract.preemphasis)
    padded = np.pad(signal, contract.padding, mode="constant" if contract.centre == "zero" else "reflect")
    windows = sliding_window_view(padded, contract.n_fft)[:: contract.hop_length]

    window, filterbank = analysis_window(contract), mel_filterbank(contract).T
    features = np.empty((frames, contract.bins), dtype=np.float32)
    # A spectrum is `n_fft / hop_length` times its samples: in blocks, an hour needs no gigabytes.
    block = max(1, _BLOCK_VALUES // contract.n_fft)
    for start in range(0, frames, block):
        magnitude = np.abs(np.fft.rfft(windows[start : start + block] * window))
        mel = magnitude**contract.magnitude_power @ filterbank
        features[start : start + block] = normalise(_logarithm(mel, contract), contract.normalisation)
    return np.concatenate([features, *pitch], 1)


def pitch_channels(samples: ArrayLike, contract: FeatureContract, frames: int) -> NDArray[np.float32]:
    """The two channels of the pitch: ln F0 and voicing, `(frames, 2)`."""
    f0 = fundamental_frequency(samples, contract.sample_rate, contract.hop_length)[:frames]
    carried = continuous(f0)
    return np.stack([np.log(np.where(carried > 0, carried, UNKNOWN_PITCH)), f0 > 0], 1).astype(np.float32)


def analysis_window(contract: FeatureContract) -> NDArray[np.float64]:
    """Periodic Hann window, centred in `(n_fft,)`."""
    length = contract.window_length
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)
    before = (contract.n_fft - length) // 2
    return np.pad(hann, (before, contract.n_fft - length - before))


def _logarithm(mel: NDArray[np.float64], contract: FeatureContract) -> NDArray[np.float64]:
    floored = np.maximum(contract.floor, mel)
    return floored if contract.log == "none" else LOG_SCALES[contract.log] * np.log(floored)
