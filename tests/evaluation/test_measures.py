"""Each measure on signals for which it is known."""

from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.signals import RATE, noise, voiced
from wavejit.errors import InputError
from wavejit.evaluation.measure import MEASURES, Clip, measures_named, scores
from wavejit.evaluation.pace import level, longest_silence, speaking_rate_ratio, speech_seconds
from wavejit.evaluation.spectrum import BANDS, DECIBELS, mel_cepstral_distortion, mel_cepstrum

SILENCE = np.zeros(RATE // 2, np.float32)


# ------------------------------------------------------------------------------------------- spectrum


def test_a_signal_is_not_distorted_from_itself_at_any_level() -> None:
    x = voiced() + noise()
    assert mel_cepstral_distortion(x, x, RATE) == 0.0
    assert mel_cepstral_distortion(x, 0.5 * x, RATE) == pytest.approx(0.0, abs=1e-3)
    assert mel_cepstral_distortion(x, noise(), RATE) > 4
    assert mel_cepstral_distortion(SILENCE, SILENCE, RATE) == 0.0


def test_distortion_is_the_rms_distance_of_the_smoothed_log_spectra_in_decibels() -> None:
    x, y = voiced() + noise(), noise()
    band = np.arange(1000)[:, None] / 1000 * np.pi

    def spectra(signal: np.ndarray) -> np.ndarray:
        cepstrum, _ = mel_cepstrum(signal, RATE)
        return 20 / np.log(10) * cepstrum[:, 1:] @ np.cos(np.arange(1, cepstrum.shape[1]) * (band + np.pi / 2000)).T

    _, loudness = mel_cepstrum(x, RATE)
    rms = np.sqrt(((spectra(x) - spectra(y)) ** 2).mean(axis=1))[loudness > loudness.max() - 40]
    assert mel_cepstral_distortion(x, y, RATE) == pytest.approx(rms.mean(), rel=1e-3)
    assert pytest.approx(6.1418515) == DECIBELS  # Kubichek's constant
    assert BANDS > 2 * len(mel_cepstrum(x, RATE)[0][0])


def test_warping_forgives_another_pace() -> None:
    pytest.importorskip("librosa", reason="comes with the extra evaluate")
    quick = voiced(0.5, 150) + noise(0.5, 0.01)
    slow = np.interp(np.arange(0, len(quick), 0.8), np.arange(len(quick)), quick).astype(np.float32)
    assert mel_cepstral_distortion(quick, quick, RATE, warped=True) == 0.0
    assert mel_cepstral_distortion(quick, slow, RATE, warped=True) < mel_cepstral_distortion(quick, slow, RATE)


# ----------------------------------------------------------------------------------------------- pace


def test_levels() -> None:
    assert level(np.full(100, 0.1)) == pytest.approx(-20)
    assert level(SILENCE) == pytest.approx(-200)


def test_silences_inside_count_and_those_around_do_not() -> None:
    spoken = noise(0.3)
    assert longest_silence(np.concatenate([SILENCE, spoken, SILENCE]), RATE) == 0.0
    with_pause = np.concatenate([SILENCE, spoken, SILENCE[: RATE // 4], spoken, SILENCE])
    assert longest_silence(with_pause, RATE) == pytest.approx(0.25, abs=0.011)
    assert speech_seconds(with_pause, RATE) == pytest.approx(0.85, abs=0.011)
    assert longest_silence(SILENCE, RATE) == 0.5
    assert speech_seconds(SILENCE, RATE) == 0.0


def test_half_as_long_is_twice_as_fast() -> None:
    assert speaking_rate_ratio(noise(0.8), noise(0.4), RATE) == pytest.approx(2.0)
    assert speaking_rate_ratio(noise(0.8), SILENCE, RATE) is None


# ---------------------------------------------------------------------------------------------- pitch


def test_pitch_of_itself_and_of_another() -> None:
    pytest.importorskip("pyworld", reason="comes with the extra evaluate")
    from wavejit.evaluation.pitch import fundamental_frequency, pitch_error

    x = voiced()
    found = fundamental_frequency(x, RATE)
    assert np.median(found[found > 0]) == pytest.approx(126, abs=2)  # from 120 Hz to 132
    same = pitch_error(x, x, RATE)
    assert (same.within, same.rmse, same.voicing) == (1.0, 0.0, 0.0)
    higher = pitch_error(x, voiced(pitch=150), RATE)  # a quarter higher: no frame is near
    assert higher.within is not None
    assert higher.rmse is not None
    assert higher.within < 0.1
    assert higher.rmse == pytest.approx(0.25 * 126, rel=0.1)
    unvoiced = pitch_error(x, noise(), RATE)
    assert unvoiced.voicing > 0.5
    silent = pitch_error(x, np.zeros_like(x), RATE)
    assert (silent.within, silent.rmse) == (None, None)


# -------------------------------------------------------------------------------------------- opinion


def test_pesq_and_stoi_of_a_copy_are_their_best() -> None:
    pytest.importorskip("pesq", reason="comes with the extra evaluate")
    pytest.importorskip("pystoi", reason="comes with the extra evaluate")
    from wavejit.evaluation.opinion import pesq, stoi

    x = voiced(1.5)
    assert pesq(x, x, RATE) == pytest.approx(4.64, abs=0.01)
    assert stoi(x, x, RATE) == pytest.approx(1.0)
    noisy = x + noise(1.5, 0.2)
    worse, less = pesq(x, noisy, RATE), stoi(x, noisy, RATE)
    assert worse is not None
    assert less is not None
    assert worse < 3
    assert less < 0.95


def test_what_is_not_defined_is_none() -> None:
    pytest.importorskip("pesq", reason="comes with the extra evaluate")
    pytest.importorskip("pystoi", reason="comes with the extra evaluate")
    from wavejit.evaluation.opinion import pesq, stoi

    assert pesq(SILENCE, SILENCE, RATE) is None
    assert pesq(noise(0.1), noise(0.1), RATE) is None
    assert stoi(SILENCE[:4000], SILENCE[:4000], RATE) is None


@pytest.mark.slow
def test_dnsmos_hears_noise(shared: Path) -> None:
    pytest.importorskip("speechmos", reason="comes with the extra evaluate")
    from wavejit.audio import read_audio
    from wavejit.evaluation.opinion import dnsmos

    clean, rate = read_audio(sorted((shared / "data" / "kathleen").glob("*.flac"))[0])
    noisy = clean + noise(len(clean) / RATE, 0.05)[: len(clean)]
    good, bad = dnsmos(clean, rate), dnsmos(noisy, rate)
    assert 3 < good.overall <= 5
    assert bad.background < good.background - 1


# --------------------------------------------------------------------------------------------- a clip


def clip(recorded: np.ndarray, made: np.ndarray, aligned: bool = True, text: str | None = None) -> Clip:
    return Clip("a.wav", recorded, made, RATE, text, aligned, nll=1.5)


def test_a_quieter_copy() -> None:
    x = voiced() + noise(level=0.02)
    found = scores(clip(x, 0.5 * x), ("nll", "spectrum", "pace", "words"))
    assert found.made.nll == 1.5
    assert found.made.level_difference == pytest.approx(-6.02, abs=0.01)
    assert found.made.log_mel_correlation == pytest.approx(1.0, abs=1e-4)
    assert found.made.mcd == pytest.approx(0.0, abs=0.01)
    assert found.made.speaking_rate_ratio == 1.0
    assert found.recording.level == pytest.approx(level(x))
    assert found.recording.level_difference is None
    assert found.made.word_error_rate is None  # no text is known
    assert found.made.pesq is None  # it was not asked for


def test_what_is_not_aligned_is_not_compared_sample_by_sample() -> None:
    found = scores(clip(voiced(), voiced(), aligned=False), ("pesq", "stoi", "pitch", "pace"))
    assert found.made.pesq is None
    assert found.made.stoi is None
    assert found.made.voicing_error is None
    assert found.made.level_difference == 0.0


def test_measures_are_named() -> None:
    assert measures_named(None) == MEASURES
    assert measures_named("nll,pesq") == ("nll", "pesq")
    with pytest.raises(InputError, match=r"metrics has 'nonsense', expected some of nll, spectrum"):
        measures_named("nll,nonsense")
