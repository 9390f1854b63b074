"""The post-filter brings a signal to its mel frames, leaves one that is there alone, and cares for no chunk's size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from wavejit.audio import FeatureContract, mel_features
from wavejit.audio.normalisation import RangeNormalisation
from wavejit.audio.postfilter import Postfilter, PostfilterStream, check_postfilter
from wavejit.errors import InputError

HOP = 80
CONTRACT = FeatureContract(
    sample_rate=8000, hop_length=HOP, window_length=320, n_fft=512, bins=24, f_max=4000.0, floor=1e-4
)  # fmt: skip

WITH_PITCH = replace(CONTRACT, pitch=True)


def noise(frames: int, seed: int = 1) -> np.ndarray:
    """Noise that comes and goes, a frame and a bit longer than `frames`."""
    rng = np.random.default_rng(seed)
    times = np.arange(frames * HOP)
    return 0.1 * (1 + np.sin(times / 700)) * rng.standard_normal(len(times))


def louder_treble(samples: np.ndarray) -> np.ndarray:
    return samples - 0.6 * np.concatenate([[0.0], samples[:-1]])


def through(
    settings: Postfilter, samples: np.ndarray, frames: np.ndarray, contract: FeatureContract, behind: int = 0
) -> np.ndarray:
    stream = PostfilterStream(settings, contract, behind)
    return np.concatenate([stream.push(samples, frames), stream.finish()])


@pytest.mark.parametrize("contract", [
    CONTRACT,
    replace(CONTRACT, log="decibel"),
    replace(CONTRACT, log="log10", magnitude_power=2.0),
    replace(CONTRACT, hop_length=HOP, window_length=300, n_fft=300, mel_scale="htk", mel_norm="none"),
])  # fmt: skip
def test_what_the_frames_lack_is_given_back(contract: FeatureContract) -> None:
    original = noise(60)
    wanted = mel_features(original, contract)
    bent = 0.5 * louder_treble(original)
    before, *after = (
        np.abs(mel_features(x, contract)[4:-4] - wanted[4:-4]).mean()
        for x in (bent, *(through(Postfilter(rounds=n), bent, wanted[:60], contract) for n in (1, 2, 4)))
    )
    assert after[0] < 0.4 * before
    assert after[0] > after[1] > after[2]
    assert after[2] < 0.2 * before


def test_a_signal_with_the_frames_that_it_should_have_stays_as_it_is() -> None:
    samples = np.clip(noise(40), -1, 1)
    wanted = mel_features(samples, replace(CONTRACT, centre="zero"))[:40]
    found = through(Postfilter(rounds=3), samples, wanted, CONTRACT)
    assert found.shape == samples.shape
    inner = slice(0, len(samples) - 320)  # the last frames see an end that the recording's did not
    np.testing.assert_allclose(found[inner], samples[inner], atol=1e-5)


def test_the_comb_takes_noise_from_between_the_harmonics_of_voiced_frames() -> None:
    """A tone of 200 Hz with its overtones in noise: only what lies between them changes."""
    times = np.arange(60 * HOP) / CONTRACT.sample_rate
    tone = 0.05 * sum(np.cos(2 * np.pi * 200 * k * times + k * k) for k in range(1, 19))
    samples = tone + 0.01 * np.random.default_rng(3).standard_normal(len(times))
    wanted = np.concatenate(
        [mel_features(samples, CONTRACT)[:60], np.full((60, 1), np.log(200.0)), np.ones((60, 1))], 1
    )
    unvoiced = np.concatenate([wanted[:, :-1], np.zeros((60, 1))], 1)

    def changed(frames: np.ndarray, comb: float) -> np.ndarray:
        """Decibels at 100, 200 … 3900 Hz."""
        found = through(Postfilter(rounds=1, comb=comb), samples, frames, WITH_PITCH)
        inner = slice(1600, 1600 + 1600)  # a bin every 5 Hz
        before, after = (np.abs(np.fft.rfft(x[inner] * np.hanning(1600))) ** 2 for x in (samples, found))
        near = [np.add.reduceat(x[10:790], np.arange(0, 780, 20)) for x in (before, after)]  # 100 Hz about each
        return 10 * np.log10(near[1] / near[0])

    between, harmonics = changed(wanted, 12.0)[::2], changed(wanted, 12.0)[1::2]
    np.testing.assert_allclose(harmonics[:17], 0.0, atol=1.5)
    assert np.all(between[1:4] < -4.0)  # at 100 Hz a mel band is narrow enough to ask for what is there
    assert np.all(np.diff(between[[1, 4, 8, 12]]) > 0)
    np.testing.assert_allclose(between[15:19], changed(wanted, 0.0)[::2][15:19], atol=1.0)
    np.testing.assert_allclose(changed(unvoiced, 12.0), changed(wanted, 0.0), atol=1e-5)


def test_a_delay_moves_the_frames() -> None:
    samples, late = noise(50), 133
    wanted = mel_features(noise(50, seed=2), CONTRACT)[:50]
    here = through(Postfilter(), samples, wanted, CONTRACT)
    delayed = np.concatenate([np.zeros(late), samples])[: len(samples)]
    there = through(Postfilter(), delayed, wanted, CONTRACT, late)
    inner = slice(600, len(samples) - late - 1024)  # what comes before the first sample is cut off of the one alone
    np.testing.assert_allclose(there[late:][inner], here[inner], atol=1e-5)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=12), st.integers(0, 700), st.integers(1, 3))
def test_any_chunks_give_the_same_bytes(sizes: list[int], delay: int, rounds: int) -> None:
    total = sum(sizes)
    samples, wanted = noise(total), mel_features(noise(total, seed=2), CONTRACT)[:total]
    chosen = Postfilter(rounds=rounds)
    stream, made, at = PostfilterStream(chosen, CONTRACT, delay), [], 0
    for size in sizes:
        made.append(stream.push(samples[at * HOP : (at + size) * HOP], wanted[at : at + size]))
        at += size
    found = np.concatenate([*made, stream.finish()])
    np.testing.assert_array_equal(found, through(chosen, samples, wanted, CONTRACT, delay))


def test_it_waits_for_a_window_a_round() -> None:
    for rounds in (1, 2):
        stream = PostfilterStream(Postfilter(rounds=rounds), CONTRACT)
        ready = sum(len(stream.push(x, np.zeros((1, 24)))) for x in noise(30).reshape(30, HOP))
        assert 30 * HOP - ready <= rounds * CONTRACT.n_fft


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"preemphasis": 0.97}, "features.preemphasis is 0.97, expected 0"),
        ({"pitch": False}, "features.pitch is False, expected true, for the comb"),
        ({"log": "none"}, "features.log is none, expected one of natural"),
        ({"centre": "same", "pitch": False}, "features.centre is same, expected reflect or zero"),
        ({"window_length": 100}, "features.window_length is 100, expected at least two hops"),
        (
            {"log": "decibel", "normalisation": RangeNormalisation(low=-100.0, high=0.0)},
            "features.normalisation is .*, expected none",
        ),
    ],
)
def test_features_that_do_not_say_the_spectrum_are_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_postfilter(Postfilter(comb=3.0), replace(WITH_PITCH, **fields))
