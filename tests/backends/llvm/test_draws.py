"""Draws in native code: the reference's draw for draw, and the distributions that they claim."""

from __future__ import annotations

import numpy as np
import pytest

from tests.backends.llvm.native import Native
from tests.cases import HOST_ISAS, WIDE, by_name, drawing, random_frames
from wavejit.backends.draws import MIN_TEMPERATURE
from wavejit.backends.llvm.builder import F32, PTR, Function
from wavejit.backends.llvm.compile import host_target
from wavejit.backends.llvm.isa import ISAS
from wavejit.backends.llvm.kernels.draw import draw
from wavejit.backends.reference import Reference
from wavejit.ir.layout import draw_scratch
from wavejit.ir.ops import Categorical, Distribution, Gaussian, Greedy, Logistics, Step
from wavejit.models import builtin
from wavejit.runtime.engine import Engine, aligned_zeros

isas = pytest.mark.parametrize("isa", HOST_ISAS)
SIZES = (1, 2, 3, 4, 5, 15, 16, 17, 31, 33, 256)


def both(step: Step, isa: str, ticks: int, seed: int = 5, temperature: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    frames = 3 * random_frames(step, ticks)
    found = Engine(step, host_target(isa)).stream(seed, 2, temperature).run(ticks, frames)
    wanted = Reference(step, seed, 2, temperature).run(ticks, by_name(step, frames)).samples
    return found, wanted


@isas
@pytest.mark.parametrize("temperature", [1.0, 0.4, 0.0])
def test_categorical_draws_are_the_references(isa: str, temperature: float) -> None:
    for classes in SIZES:
        found, wanted = both(drawing(Categorical(), classes), isa, 100, temperature=temperature)
        np.testing.assert_array_equal(found, wanted)


@isas
def test_greedy_draws_are_the_largest(isa: str) -> None:
    for classes in SIZES:
        found, wanted = both(drawing(Greedy(), classes), isa, 40)
        np.testing.assert_array_equal(found, wanted)


@isas
def test_greedy_takes_the_first_of_equals(isa: str) -> None:
    for classes in SIZES:
        for first in {0, classes // 2, classes - 1}:
            logits = np.where(np.arange(classes) >= first, 1.0, -1.0).astype(np.float32)[None]
            assert Engine(drawing(Greedy(), classes), host_target(isa)).stream().run(1, logits)[0] == first


@isas
@pytest.mark.parametrize("distribution", [Gaussian(), Logistics(1), Logistics(3), Logistics(17)])
@pytest.mark.parametrize("temperature", [1.0, 0.3])
def test_real_draws_are_the_references(isa: str, distribution: Distribution, temperature: float) -> None:
    size = 2 if isinstance(distribution, Gaussian) else 3 * distribution.components  # type: ignore[union-attr]
    step = drawing(distribution, size)
    frames = 0.3 * random_frames(step, 400)
    frames[:, -max(size // 3, 1) :] -= 3  # log scales: small enough that few are cut off at 1
    found = Engine(step, host_target(isa)).stream(9, 0, temperature).run(400, frames)
    wanted = Reference(step, 9, 0, temperature).run(400, by_name(step, frames)).samples
    np.testing.assert_allclose(found, wanted, atol=2e-5)
    assert np.mean(np.abs(found) < 1) > 0.8


@isas
@pytest.mark.parametrize(
    ("name", "tolerance"),
    # What is drawn as a real carries its rounding into the next tick; a class does not.
    [("deepvoice-2-9-11", 1e-6), ("wavernn-30", 1e-6), ("samplernn-20", 1e-6), ("wavegru-20", 1e-5)],
)
def test_sampled_audio_of_networks_is_the_references(isa: str, name: str, tolerance: float) -> None:
    made = builtin(name)
    assert made is not None
    family, network = made
    step = family.step(name, network, family.random_weights(network))
    found, wanted = both(step, isa, 120)
    np.testing.assert_allclose(found, wanted, atol=tolerance)


# ------------------------------------------------------------------------------------------- statistics

MANY = 300_000


def many(distribution: Distribution, parameters: list[float], temperature: float = 1.0) -> np.ndarray:
    """Draws from one set of parameters. Streams are independent, so one row of parameters serves all."""
    frames = np.tile(np.array(parameters, np.float32), (MANY // 2, 1))
    return Engine(drawing(distribution, len(parameters)), WIDE).stream(1234, 0, temperature).run(MANY, frames)


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_classes_come_as_often_as_they_should(temperature: float) -> None:
    logits = np.random.default_rng(0).normal(0, 1.5, 37)
    drawn = many(Categorical(), list(logits), temperature)
    weights = np.exp(logits / temperature)
    expected = MANY * weights / weights.sum()
    counts = np.bincount(drawn.astype(int), minlength=37)
    common = expected > 20
    chi_square = float(np.sum((counts - expected)[common] ** 2 / expected[common]))
    freedom = common.sum() - 1
    assert chi_square < freedom + 4 * np.sqrt(2 * freedom)
    assert counts[~common].sum() < 4 * expected[~common].sum() + 20


def test_a_gaussian_has_its_moments() -> None:
    drawn = many(Gaussian(), [0.1, -2.5])
    deviation = np.exp(-2.5)
    assert drawn.mean() == pytest.approx(0.1, abs=5 * deviation / np.sqrt(MANY))
    assert drawn.std() == pytest.approx(deviation, rel=0.01)
    within = np.mean(np.abs(drawn - 0.1) < deviation)
    assert within == pytest.approx(0.6827, abs=0.005)
    assert np.mean(((drawn - 0.1) / deviation) ** 4) == pytest.approx(3, abs=0.1)


def test_a_logistic_has_its_moments() -> None:
    drawn = many(Logistics(1), [0.0, -0.1, -4.0])
    deviation = np.exp(-4.0) * np.pi / np.sqrt(3)
    assert drawn.mean() == pytest.approx(-0.1, abs=5 * deviation / np.sqrt(MANY))
    assert drawn.std() == pytest.approx(deviation, rel=0.01)
    for quantile in (0.01, 0.25, 0.75, 0.99):
        wanted = -0.1 + np.exp(-4.0) * np.log(quantile / (1 - quantile))
        assert np.quantile(drawn, quantile) == pytest.approx(wanted, abs=0.002)


def test_a_mixture_has_its_weights() -> None:
    drawn = many(Logistics(2), [float(np.log(0.3)), float(np.log(0.7)), -0.5, 0.5, -5.0, -5.0])
    assert np.mean(drawn < 0) == pytest.approx(0.3, abs=0.005)


def test_draws_of_one_tick_are_independent() -> None:
    made = builtin("wavernn-2")
    assert made is not None
    family, network = made
    weights = {name: 0 * data for name, data in family.random_weights(network).items()}
    audio = Engine(family.step("flat", network, weights), WIDE).stream(3).run(100_000)
    drawn = np.round((audio.astype(np.float64) + 1) * 32767.5).astype(int)
    coarse, fine = drawn // 256 - 127.5, drawn % 256 - 127.5
    for x, y in ((coarse, fine), (coarse[1:], coarse[:-1]), (fine[1:], coarse[:-1])):
        assert abs(np.mean(x * y)) / (256**2 / 12) < 5 / np.sqrt(len(x))
    assert np.abs(np.bincount(drawn // 256, minlength=256) - 100_000 / 256).max() < 6 * np.sqrt(100_000 / 256)


@isas
def test_improbable_classes_are_not_drawn_at_temperature_0(isa: str) -> None:
    """Also where the random number is 0, which comes once in 16.7 million draws."""
    kernel = draw(Categorical(), 20, ISAS[isa])
    kernel._linkage = "internal"
    k = Function("once", [("out", PTR), ("logits", PTR), ("scratch", PTR), ("sharpness", PTR)], 4, linkage="")
    k.call_void(kernel.name, k["out"], k["logits"], k["scratch"], k.load(k["sharpness"], 0, F32))
    logits, scratch, out = aligned_zeros(32), aligned_zeros(draw_scratch(20)), np.zeros(1, np.int32)
    logits[13] = 1  # the uniform numbers at the start of the scratch are 0
    Native(isa, "once", kernel, k)(out, logits, scratch, np.array([1 / MIN_TEMPERATURE], np.float32))
    assert out[0] == 13
