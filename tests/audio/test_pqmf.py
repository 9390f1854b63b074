"""The filter bank: what it splits it joins again, late by the delay that it names."""

import numpy as np
import pytest

from wavejit.audio.pqmf import (
    analysis_filters,
    delay,
    join_bands,
    prototype,
    split_bands,
    synthesis_matrix,
)
from wavejit.errors import InputError

BANDS = (2, 3, 4)


def decibels(signal: np.ndarray, error: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(signal**2) / np.mean(error**2)))


@pytest.mark.parametrize("bands", BANDS)
def test_reconstruction(bands: int) -> None:
    x = np.random.default_rng(bands).uniform(-1, 1, 6000)
    y = join_bands(split_bands(x, bands))
    late = delay(bands)
    assert decibels(x[:-late], y[late : len(x)] - x[:-late]) > 50
    one_off = y[late + 1 : len(x)] - x[: -late - 1]
    assert decibels(x[: -late - 1], one_off) < 0  # the delay is that one


@pytest.mark.parametrize("bands", BANDS)
def test_every_frequency_comes_back(bands: int) -> None:
    late, times = delay(bands), np.arange(4000)
    for frequency in np.linspace(0.01, 0.99, 61):
        x = np.sin(np.pi * frequency * times)
        y = join_bands(split_bands(x, bands))[: len(x)]
        settled = slice(2 * late, len(x))
        assert decibels(x[settled], y[settled] - x[late : len(x) - late]) > 50


@pytest.mark.parametrize("bands", BANDS)
def test_a_tone_is_heard_in_its_band(bands: int) -> None:
    for band in range(bands):
        tone = np.sin(np.pi * (band + 0.5) / bands * np.arange(3000))
        power = np.mean(split_bands(tone, bands)[100:] ** 2, axis=0)
        assert power[band] == pytest.approx(0.5, rel=0.15)
        assert np.delete(power, band).max() < 1e-5 * power[band]  # 50 dB below


def test_the_prototype_is_the_published_one_for_four_bands() -> None:
    # Parallel WaveGAN's: 62 taps, cutoff 0.142, beta 9.
    times = np.arange(-31, 32)
    published = 0.142 * np.sinc(0.142 * times) * np.kaiser(63, 9.0)
    assert prototype(4).shape == (63,)
    np.testing.assert_allclose(prototype(4), published, atol=1e-12)


def test_filters_as_sums_written_out() -> None:
    """One value of one band, and one sample, from the definition."""
    x = np.random.default_rng(0).standard_normal(200)
    h = analysis_filters(4)
    found = split_bands(x, 4)
    assert found.shape == (50, 4)
    assert found[30, 2] == pytest.approx(sum(h[2, n] * x[120 - n] for n in range(63)))
    assert found[0, 1] == pytest.approx(h[1, 0] * x[0])
    g, y = synthesis_matrix(4), join_bands(found)
    assert y[4 * 30 + 3] == pytest.approx(
        sum(g[3, 4 * ago + k] * found[30 - ago, k] for ago in range(16) for k in range(4))
    )
    # The synthesis filters are the analysis filters in reverse, four times as large.
    impulse = np.zeros((20, 4))
    impulse[0, 2] = 1.0
    np.testing.assert_allclose(join_bands(impulse)[:63], 4 * h[2, ::-1], atol=1e-12)


@pytest.mark.parametrize("length", [0, 1, 3, 4, 5])
def test_any_length(length: int) -> None:
    found = split_bands(np.ones(length), 4)
    assert found.shape == (-(-length // 4), 4)
    assert join_bands(found).shape == (4 * len(found),)


@pytest.mark.parametrize("bands", [0, 1, 5])
def test_other_numbers_of_bands_are_refused(bands: int) -> None:
    with pytest.raises(InputError, match=f"bands is {bands}; expected 2 to 4"):
        split_bands(np.zeros(10), bands)
