"""How alike two recordings are."""

import numpy as np
from numpy.typing import ArrayLike

from wavejit.audio.contract import FeatureContract
from wavejit.audio.mel import mel_features


def log_mel_correlation(
    a: ArrayLike, b: ArrayLike, sample_rate: int, n_fft: int = 800, hop: int = 200, bins: int = 80
) -> float:
    """Pearson correlation of two log-mel spectrograms over all frames and bins of the common length.

    The features are natural logarithms of amplitudes, Slaney bands up to half the sample rate, floor 1e-5.
    Level does not count, delay does: a shift of a few hops shows.

    Args:
        a: `(samples,)`, in [-1, 1].
        b: `(samples,)`, in [-1, 1]; the longer of the two is cut.
        sample_rate: of both, in Hz.
        n_fft: FFT size and window length, in samples.
        hop: samples between frames.
        bins: mel bands.

    Returns:
        From -1 to 1; 0 where one of them is constant (silence), for which it is not defined.

    Raises:
        InputError: one of them is empty or not one finite signal.
    """
    contract = FeatureContract(
        sample_rate=sample_rate,
        hop_length=hop,
        window_length=n_fft,
        n_fft=n_fft,
        bins=bins,
        f_max=sample_rate / 2,
    )
    first, second = np.asarray(a), np.asarray(b)
    if first.ndim == second.ndim == 1:
        length = min(len(first), len(second))
        first, second = first[:length], second[:length]
    x, y = (mel_features(signal, contract).astype(np.float64) for signal in (first, second))
    x, y = x - x.mean(), y - y.mean()
    scale = np.sqrt((x * x).sum() * (y * y).sum())
    return float((x * y).sum() / scale) if scale > 1e-12 else 0.0
