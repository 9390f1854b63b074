"""A small mel-conditioned WaveRNN with random weights, features and a recording for it."""

import numpy as np
from numpy.typing import NDArray

from wavejit.audio import FeatureContract
from wavejit.checkpoints.folder import ModelFiles
from wavejit.models.mel_wavernn import FAMILY, MelWaveRNN

BINS, HOP, SAMPLE_RATE, FRAMES = 20, 50, 16000, 30

FEATURES = FeatureContract(
    sample_rate=SAMPLE_RATE, hop_length=HOP, window_length=200, n_fft=256, bins=BINS, f_max=8000.0
)
NETWORK = MelWaveRNN(
    sample_rate=SAMPLE_RATE,
    bins=BINS,
    hop_length=HOP,
    padding=1,
    residual_channels=8,
    residual_blocks=1,
    gru_widths=(16,),
    hidden_widths=(16,),
    auxiliary=((0, 4), (4, 4)),
    auxiliary_channels=8,
    classes=64,
)


def small_voice() -> ModelFiles:
    weights = FAMILY.random_weights(NETWORK, seed=1)
    return ModelFiles(FAMILY, NETWORK, weights, FEATURES, licence="MIT", provenance="random weights")


def random_features(frames: int = FRAMES, bins: int = BINS) -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal((frames, bins)).astype(np.float32)


def tone(seconds: float = 0.1) -> NDArray[np.float32]:
    t = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return (0.3 * np.sin(2 * np.pi * 220 * t)).astype(np.float32)
