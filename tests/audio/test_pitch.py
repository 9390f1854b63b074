"""F0 of signals whose F0 is known, and where there is none."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wavejit.audio import FeatureContract, mel_features, read_features, write_features
from wavejit.audio.mel import UNKNOWN_PITCH
from wavejit.audio.pitch import HIGHEST, LOWEST, continuous, fundamental_frequency
from wavejit.errors import InputError

RATE, HOP = 24000, 240
CONTRACT = FeatureContract(
    sample_rate=RATE, hop_length=HOP, window_length=960, n_fft=1024, bins=20, f_max=12000.0, pitch=True
)


def buzz(f0: np.ndarray | float, seconds: float = 0.6, harmonics: int = 12) -> np.ndarray:
    """A sum of harmonics of `f0`, constant or of each sample."""
    phase = 2 * np.pi * np.cumsum(np.broadcast_to(f0, int(seconds * RATE))) / RATE
    return 0.1 * np.sum([np.sin(k * phase) / k for k in range(1, harmonics + 1)], 0)


@example(432.0, 5, 1.0)  # half a sample between two lags at 8 kHz
@example(410.25, 20, 1.0)
@given(st.floats(75, 450), st.integers(1, 20), st.floats(0.1, 1))
def test_a_buzz_has_its_own_pitch(f0: float, harmonics: int, loud: float) -> None:
    found = fundamental_frequency(loud * buzz(f0, harmonics=harmonics), RATE, HOP)
    inner = found[6:-6]
    assert (inner > 0).all()
    np.testing.assert_allclose(inner, f0, rtol=0.01)


def test_a_glide_is_followed() -> None:
    f0 = np.geomspace(120, 240, int(0.8 * RATE))
    found = fundamental_frequency(buzz(f0, 0.8), RATE, HOP)[8:-8]
    np.testing.assert_allclose(found, f0[::HOP][8 : 8 + len(found)], rtol=0.02)


def test_noise_and_silence_have_none() -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal(RATE)
    assert (fundamental_frequency(noise, RATE, HOP) > 0).mean() < 0.05
    assert not fundamental_frequency(np.zeros(RATE // 2), RATE, HOP).any()


def test_a_word_between_silences_is_voiced_where_it_is() -> None:
    signal = np.concatenate([np.zeros(RATE // 2), buzz(200), np.zeros(RATE // 2)])
    voiced = np.flatnonzero(fundamental_frequency(signal, RATE, HOP))
    assert 45 <= voiced[0] <= 55
    assert 105 <= voiced[-1] <= 115


def test_the_range_and_the_number_of_frames() -> None:
    found = fundamental_frequency(buzz(100.0)[:1001], RATE, HOP)
    assert len(found) == 1001 // HOP + 1
    assert ((found == 0) | ((found >= 0.95 * LOWEST) & (found <= 1.1 * HIGHEST))).all()


def test_what_is_not_voiced_is_bridged_in_log_frequency() -> None:
    assert continuous([0, 100, 0, 0, 0, 400, 0]).tolist() == pytest.approx(
        [100, 100, 141.42, 200, 282.84, 400, 400], rel=1e-3
    )
    assert continuous([0, 0]).tolist() == [0, 0]


def test_the_features_carry_the_pitch_behind_the_bins(tmp_path) -> None:
    features = mel_features(buzz(200.0).astype(np.float32), CONTRACT)
    assert features.shape == (CONTRACT.frames(int(0.6 * RATE)), CONTRACT.channels) == (61, 22)
    np.testing.assert_allclose(features[8:-8, -2], np.log(200), atol=0.01)
    assert features[8:-8, -1].all()
    silent = mel_features(np.zeros(4800, np.float32), CONTRACT)
    np.testing.assert_allclose(silent[:, -2], np.log(UNKNOWN_PITCH), rtol=1e-6)
    write_features(tmp_path / "f.npz", features, CONTRACT)
    np.testing.assert_array_equal(read_features(tmp_path / "f.npz", CONTRACT), features)


def test_features_without_pitch_are_refused_where_it_is_wanted(tmp_path) -> None:
    import msgspec

    plain = msgspec.structs.replace(CONTRACT, pitch=False)
    write_features(tmp_path / "f.npz", np.zeros((3, 20), np.float32), plain)
    with pytest.raises(InputError, match="pitch is false; expected true"):
        read_features(tmp_path / "f.npz", CONTRACT)
    with pytest.raises(InputError, match="pitch is True; expected false unless centre is reflect or zero"):
        msgspec.structs.replace(CONTRACT, centre="same")
