"""The correlation against librosa's features, and what it must and must not hear."""

import numpy as np
import pytest

from wavejit.audio import log_mel_correlation
from wavejit.errors import InputError

RANDOM = np.random.default_rng(1)
VOICE = np.sin(np.cumsum(RANDOM.uniform(0.02, 0.4, 16000))) * np.hanning(16000)
NOISE = RANDOM.uniform(-0.5, 0.5, 16000)


def test_itself_is_one_at_any_level_above_the_floor() -> None:
    assert log_mel_correlation(VOICE, VOICE, 16000) == pytest.approx(1.0)
    assert log_mel_correlation(NOISE, 0.5 * NOISE, 16000) == pytest.approx(1.0, abs=1e-6)


def test_is_librosas_number() -> None:
    librosa = pytest.importorskip("librosa")

    def features(x: np.ndarray) -> np.ndarray:
        mel = librosa.feature.melspectrogram(
            y=x, sr=16000, n_fft=800, hop_length=200, n_mels=80, power=1.0, pad_mode="reflect"
        )
        return np.log(np.maximum(1e-5, mel)).ravel()

    other = 0.7 * VOICE[:12000] + 0.1 * NOISE[:12000]
    expected = np.corrcoef(features(VOICE[:12000]), features(other))[0, 1]
    assert log_mel_correlation(VOICE, other, 16000) == pytest.approx(expected, abs=1e-6)
    assert 0.3 < expected < 0.99


def test_a_longer_one_is_cut() -> None:
    assert log_mel_correlation(np.concatenate([VOICE, NOISE]), VOICE, 16000) == pytest.approx(1.0)


def test_different_sounds_and_delays_lower_it() -> None:
    assert log_mel_correlation(VOICE, NOISE, 16000) < 0.6
    assert log_mel_correlation(VOICE, np.roll(VOICE, 4000), 16000) < 0.95


def test_silence_is_zero_and_emptiness_is_refused() -> None:
    assert log_mel_correlation(VOICE, np.zeros(16000), 16000) == 0.0
    with pytest.raises(InputError, match="samples: 0 found"):
        log_mel_correlation(VOICE, np.zeros(0), 16000)
