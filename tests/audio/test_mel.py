"""Mel features against librosa, and what must hold for any signal."""

import tracemalloc
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from wavejit.audio import (
    PRESETS,
    BinNormalisation,
    FeatureContract,
    RangeNormalisation,
    mel_features,
    mel_filterbank,
    read_audio,
)
from wavejit.audio.mel import hz_to_mel, mel_to_hz
from wavejit.errors import InputError

librosa = pytest.importorskip("librosa")

SMALL = FeatureContract(sample_rate=8000, hop_length=64, window_length=200, n_fft=256, bins=20, f_max=4000.0)


def signal(samples: int, seed: int = 0) -> NDArray[np.float64]:
    """Noise, a chirp and some digital silence, so that the floor is reached as well."""
    random = np.random.default_rng(seed)
    t = np.arange(samples) / samples
    x = 0.3 * np.sin(2000 * t * t) + 0.05 * random.standard_normal(samples)
    x[samples // 3 : samples // 2] = 0.0
    return x


def librosa_features(x: NDArray[np.float64], c: FeatureContract) -> NDArray[np.float64]:
    """The contract again, from librosa's parts."""
    if c.preemphasis:
        x = np.append(x[:1], x[1:] - c.preemphasis * x[:-1])
    if c.centre == "same":
        x = np.pad(x, (c.n_fft - c.hop_length) // 2, mode="reflect")
    spectrum = librosa.stft(
        x,
        n_fft=c.n_fft,
        hop_length=c.hop_length,
        win_length=c.window_length,
        center=c.centre in ("reflect", "zero"),
        pad_mode="constant" if c.centre == "zero" else "reflect",
    )
    mel = np.maximum(c.floor, librosa_filterbank(c) @ np.abs(spectrum) ** c.magnitude_power)
    logarithms = {
        "natural": np.log,
        "log10": np.log10,
        "decibel": lambda v: 20 * np.log10(v),
        "none": np.asarray,
    }
    out = logarithms[c.log](mel).T
    match c.normalisation:
        case RangeNormalisation() as n:
            unit = (out - n.reference_db - n.minimum_db) / -n.minimum_db
            return np.clip((n.high - n.low) * unit + n.low, n.low, n.high)
        case BinNormalisation() as n:
            return (out - np.array(n.mean)) / np.array(n.variance) ** 0.5
    return out


def librosa_filterbank(c: FeatureContract) -> NDArray[np.float64]:
    return librosa.filters.mel(
        sr=c.sample_rate,
        n_fft=c.n_fft,
        n_mels=c.bins,
        fmin=c.f_min,
        fmax=c.f_max,
        htk=c.mel_scale == "htk",
        norm="slaney" if c.mel_norm == "slaney" else None,
        dtype=np.float64,
    )


@pytest.mark.parametrize("name", PRESETS)
def test_filterbank_is_librosas(name: str) -> None:
    bank = mel_filterbank(PRESETS[name])
    assert bank.shape == (PRESETS[name].bins, PRESETS[name].n_fft // 2 + 1)
    np.testing.assert_allclose(bank, librosa_filterbank(PRESETS[name]), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", PRESETS)
def test_features_are_librosas(name: str) -> None:
    contract = PRESETS[name]
    # More frames than one block holds, and a length that is no multiple of the hop.
    x = signal(contract.sample_rate * 9 + 17)
    features = mel_features(x, contract)
    assert features.dtype == np.float32
    assert features.shape == (contract.frames(len(x)), contract.bins)
    np.testing.assert_allclose(features, librosa_features(x, contract), rtol=2e-7, atol=2e-6)


VARIANTS = [
    {"centre": "zero"},
    {"centre": "none"},
    {"magnitude_power": 2.0, "log": "decibel"},
    {"log": "none", "floor": 0.0},
    {"preemphasis": 0.97, "mel_scale": "htk"},
    {"n_fft": 255, "window_length": 155},
    {"normalisation": BinNormalisation(mean=tuple(range(20)), variance=tuple(range(1, 21)))},
]


@pytest.mark.parametrize("changes", VARIANTS, ids=lambda c: "-".join(c))
def test_each_field_does_what_librosa_does(changes: dict[str, object]) -> None:
    contract = msgspec.structs.replace(SMALL, **changes)
    x = signal(3001)
    expected = librosa_features(x, contract)
    assert not np.allclose(expected[:10, :], librosa_features(x, SMALL)[:10, :], atol=1e-3)
    np.testing.assert_allclose(mel_features(x, contract), expected, rtol=2e-7, atol=2e-6)


PUBLISHED = {
    "tacotron2": (22050, 1024, 256, 1024, 80, 0, 8000, "slaney", "slaney", "natural", 1e-5, "reflect"),
    "hifigan": (22050, 1024, 256, 1024, 80, 0, 8000, "slaney", "slaney", "natural", 1e-5, "same"),
    "vocos": (24000, 1024, 256, 1024, 100, 0, 12000, "htk", "none", "natural", 1e-7, "reflect"),
    "fatchord": (22050, 2048, 275, 1100, 80, 40, 11025, "slaney", "slaney", "decibel", 1e-5, "reflect"),
    "parallel-wavegan": (24000, 2048, 300, 1200, 80, 80, 7600, "slaney", "slaney", "log10", 1e-10, "reflect"),
    "tacotron-16k": (16000, 2048, 200, 800, 80, 95, 7600, "slaney", "slaney", "decibel", 1e-5, "reflect"),
}


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_the_published_ones(name: str) -> None:
    c = PRESETS[name]
    numbers = (c.sample_rate, c.n_fft, c.hop_length, c.window_length, c.bins, c.f_min, c.f_max)
    assert (*numbers, c.mel_scale, c.mel_norm, c.log, c.floor, c.centre) == PUBLISHED[name]
    assert (c.magnitude_power, c.preemphasis) == (1.0, 0.0)


def test_presets_differ_where_their_sources_do() -> None:
    x = signal(22050)
    assert len(mel_features(x, PRESETS["tacotron2"])) == 87
    assert len(mel_features(x, PRESETS["hifigan"])) == 86
    wavernn, tacotron = mel_features(x, PRESETS["fatchord"]), mel_features(x, PRESETS["tacotron-16k"])
    assert wavernn.min() == pytest.approx(0.0, abs=1e-6)
    assert 0.5 < wavernn.max() <= 1.0
    assert tacotron.min() == -4.0
    assert 1.0 < tacotron.max() <= 4.0


@given(st.floats(0, 20000), st.sampled_from(["slaney", "htk"]))
def test_mel_scale_inverts(hertz: float, scale: str) -> None:
    assert mel_to_hz(hz_to_mel(hertz, scale), scale) == pytest.approx(hertz, rel=1e-9, abs=1e-9)  # pyright: ignore


@settings(max_examples=40, deadline=None)
@given(
    samples=st.integers(1, 2000),
    hop=st.integers(1, 300),
    n_fft=st.integers(8, 300),
    centre=st.sampled_from(["reflect", "zero", "same", "none"]),
)
def test_frame_count_is_the_contracts(samples: int, hop: int, n_fft: int, centre: str) -> None:
    hop = min(hop, n_fft)
    changes = {"hop_length": hop, "n_fft": n_fft, "window_length": n_fft, "centre": centre, "bins": 4}
    contract = msgspec.structs.replace(SMALL, **changes)
    x = signal(samples)
    if contract.frames(samples) == 0:
        with pytest.raises(InputError, match="one frame needs at least"):
            mel_features(x, contract)
        return
    features = mel_features(x, contract)
    assert features.shape == (contract.frames(samples), 4)
    assert np.isfinite(features).all()


@settings(max_examples=25, deadline=None)
@given(gain=st.floats(0.01, 100.0), seed=st.integers(0, 99))
def test_gain_moves_decibels_by_its_own(gain: float, seed: int) -> None:
    contract = msgspec.structs.replace(SMALL, log="decibel", floor=1e-30)
    x = np.random.default_rng(seed).standard_normal(1500)
    difference = mel_features(gain * x, contract) - mel_features(x, contract)
    np.testing.assert_allclose(difference, 20 * np.log10(gain), atol=1e-4)


def test_a_delay_of_hops_moves_frames() -> None:
    x = signal(4000)
    delayed = np.concatenate([np.zeros(3 * 64), x])
    inner = mel_features(delayed, SMALL)[3 + 2 : -4]
    np.testing.assert_allclose(inner, mel_features(x, SMALL)[2:-4], atol=1e-5)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros((2, 1000)), "shape"),
        (np.zeros(0), "0 found"),
        (np.array([0.1, np.nan] * 500), "NaN"),
        (np.array(["a"]), "<U1"),
    ],
)
def test_what_is_no_signal_is_refused(samples: NDArray[np.generic], message: str) -> None:
    with pytest.raises(InputError, match=message):
        mel_features(samples, SMALL)


def test_long_audio_is_taken_in_blocks() -> None:
    """At once, a minute's windows and spectra would be 84 MB."""
    x = np.zeros(22050 * 60, dtype=np.float32)
    mel_features(x[:5000], PRESETS["tacotron2"])
    tracemalloc.start()
    try:
        mel_features(x, PRESETS["tacotron2"])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 50e6


def test_filterbank_cannot_be_changed_by_a_caller() -> None:
    with pytest.raises(ValueError, match="read-only"):
        mel_filterbank(SMALL)[0, 0] = 1.0


def test_tacotron_16k_explains_a_trained_models_features(shared: Path) -> None:
    """The recording is 10 bits and made by the network: loud, voiced bins are what can agree."""
    folder = shared / "checkpoints" / "geneing_wavernn"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    theirs = np.load(folder / "mel-northandsouth_52_f000076.npy")
    samples, rate = read_audio(folder / "mel-northandsouth_52_f000076.wav")
    assert rate == 16000
    ours = mel_features(samples, PRESETS["tacotron-16k"])[: len(theirs)]
    np.testing.assert_array_equal(np.all(ours == -4, axis=1), np.all(theirs == -4, axis=1))
    loud = theirs > 2
    assert abs(np.median((ours - theirs)[loud])) < 0.04
    assert np.abs(ours - theirs)[loud].mean() < 0.16
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.96
