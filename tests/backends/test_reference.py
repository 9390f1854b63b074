"""The reference against literal loops, written without it."""

from __future__ import annotations

import numpy as np
import pytest

from tests.cases import by_name, one_pole, random_draws, random_frames, sample_rnn
from wavejit.backends.philox import uniforms
from wavejit.backends.reference import Reference, draw
from wavejit.ir.builder import Linear, StepBuilder, Tensor, affine, concatenate, tanh
from wavejit.ir.ops import Categorical, Delayed, Gaussian, Greedy, Logistics, Step

LANES, LAG = 3, 2


def test_one_pole() -> None:
    step = one_pole(0.5, hop_length=2)
    found = Reference(step).run(5, {"input": np.array([[1.0], [0.0], [2.0]])}).samples
    np.testing.assert_array_equal(found, [1, 1.5, 0.75, 0.375, 2.1875])


def literal_sample_rnn(weights: dict[str, np.ndarray], forced: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Three tiers: 4 samples, 2 samples, 1 sample; each adds its part of the tier above."""
    w = {name: data.astype(np.float64) for name, data in weights.items()}
    past = [3, 3, 3, 3]
    top_state, middle_state = np.zeros(10), np.zeros(12)
    for_middle, for_bottom = np.zeros((2, 12)), np.zeros((2, 5))
    logits, sound = [], []
    for t, sample in enumerate(forced):
        if t % 4 == 0:
            given = w["embed"][past[-4:]].reshape(-1)
            top_state = np.tanh(w["top.input"] @ given + w["top.recurrent"] @ top_state)
            for_middle = (w["top.out"] @ top_state).reshape(2, -1)
        if t % 2 == 0:
            given = w["embed"][past[-2:]].reshape(-1)
            total = w["middle.input"] @ given + w["middle.recurrent"] @ middle_state + for_middle[t % 4 // 2]
            middle_state = np.tanh(total)
            for_bottom = (w["middle.out"] @ middle_state).reshape(2, -1)
        x = w["bottom.input"] @ w["embed"][past[-1]] + for_bottom[t % 2]
        logits.append(w["out"] @ np.maximum(x, 0))
        sound.append(w["sound"][sample, 0])
        past = [*past[1:], int(sample)]
    return np.array(logits), np.array(sound)


def test_clocks_of_a_sample_rnn() -> None:
    case = sample_rnn()
    forced = random_draws(case.step, 27)
    run = Reference(case.step).run(27, {}, forced.astype(np.float64))
    logits, sound = literal_sample_rnn(case.weights, forced[:, 0].astype(int))
    np.testing.assert_allclose(run.parameters["sample"][:, 0], logits, atol=1e-12)
    np.testing.assert_allclose(run.samples, sound, atol=1e-12)


def subscale(distribution: Gaussian | None = None) -> tuple[Step, np.ndarray]:
    """Every third sample in a lane of its own, two ticks behind the lane before it.

    y[i, lane] follows y[i - 1, lane] (its own past), y[i, lane - 1] (already there) and y[i + 1, lane - 1] (ahead).
    """
    w = np.array([[0.5, -0.4, 0.3]], np.float32)
    s = StepBuilder("subscale", 24000, lanes=LANES, lane_lag=LAG)
    own = s.state("y", 1, 0.25)
    before = s.add(Delayed(-1, LAG, 0.5, lanes=1), 1)
    ahead = s.add(Delayed(-1, LAG - 1, 0.75, lanes=1), 1)
    x = tanh(affine(Linear(Tensor("w", w), Tensor("b", np.array([0.2], np.float32))), concatenate(own, before, ahead)))
    if distribution is not None:
        scale = s.constant(Tensor("log_scale", np.array([-3], np.float32)))
        x = s.draw("y", distribution, concatenate(x, scale))
    s.update("y", x)
    for past in (before, ahead):
        s._resolve(past.ref, x.ref)
    s.emit(x)
    return s.step(), w[0].astype(np.float64)


def literal_subscale(w: np.ndarray, length: int, seed: int | None) -> np.ndarray:
    """Lane after lane: `(length, lanes)` samples, row i at positions i * lanes and on."""
    y = np.zeros((length + 1, LANES))
    for lane in range(LANES):
        for i in range(length + 1):
            own = y[i - 1, lane] if i else 0.25
            before = y[i, lane - 1] if lane else 0.5
            ahead = (y[i + 1, lane - 1] if i < length else 0) if lane else 0.75
            mean = np.tanh(w @ [own, before, ahead] + np.float32(0.2))
            if seed is None:
                y[i, lane] = mean
            else:
                numbers = uniforms(i * LANES + lane, 0, seed, 0)
                y[i, lane] = draw(Gaussian(), np.array([mean, -3.0]), numbers, 1.0)
    return y


@pytest.mark.parametrize("seed", [None, 11])
def test_lanes_of_a_subscale_model(seed: int | None) -> None:
    step, w = subscale(None if seed is None else Gaussian())
    ticks = 17
    whole = ticks - (LANES - 1) * LAG  # rows that every lane has reached
    found = Reference(step, seed or 0).run(ticks, {}).samples
    # What lies ahead ends at the last row: one less of each lane is what the literal loop can say.
    rows = whole - LANES
    wanted = literal_subscale(w, whole, seed)[:rows]
    np.testing.assert_allclose(found[: rows * LANES], wanted.reshape(-1), atol=1e-12)


@pytest.mark.parametrize("lanes", [1, LANES])
def test_a_lag_that_stays_is_a_delay(lanes: int) -> None:
    s = StepBuilder("still", 24000, lanes=lanes, lane_lag=LAG)
    count = s.state("count", 1)
    s.update("count", count + s.constant(Tensor("one", np.ones(1, np.float32))))
    x = concatenate(count + s.condition("x", 1, 1), count)
    lag = s.constant(Tensor("lag", np.full(1, 4.4, np.float32)))
    s.emit(concatenate(s.recalled(x, lag, 9), s.delayed(x, 4)))
    step = s.step()
    found = Reference(step).run(30, by_name(step, random_frames(step, 30))).samples.reshape(-1, 4)
    np.testing.assert_array_equal(found[:, :2], found[:, 2:])
    assert len(np.unique(found[:, 1])) > 20


def test_a_run_in_pieces_is_the_run() -> None:
    step = one_pole(0.9, hop_length=3)
    frames = random_frames(step, 20)
    whole = Reference(step).run(20, by_name(step, frames)).samples
    pieces, reference, at = [], Reference(step), 0
    for ticks in (1, 7, 2, 10):
        needed = -(-(at + ticks) // 3) - -(-at // 3)
        first = -(-at // 3)
        pieces.append(reference.run(ticks, by_name(step, frames[first : first + needed])).samples)
        at += ticks
    np.testing.assert_array_equal(np.concatenate(pieces), whole)


# ------------------------------------------------------------------------------------------------ draws


def test_categorical_takes_the_first_class_whose_cumulative_probability_exceeds_the_number() -> None:
    logits = np.log([0.25, 0.5, 0.25])
    for number, label in ((0.0, 0), (0.2499, 0), (0.2501, 1), (0.7499, 1), (0.7501, 2), (1 - 2**-24, 2)):
        assert draw(Categorical(), logits, (number, 0.0), 1.0) == label


def test_temperature_sharpens() -> None:
    logits = np.log([0.2, 0.8])
    assert draw(Categorical(), logits, (0.1, 0.0), 1.0) == 0
    assert draw(Categorical(), logits, (0.1, 0.0), 0.5) == 1  # 1 to 16
    assert draw(Categorical(), logits, (0.0, 0.0), 0.0) == 1
    assert draw(Greedy(), logits, (0.0, 0.0), 1.0) == 1


def test_logistic_and_gaussian_by_their_formulas() -> None:
    u = 1e-5 + 0.3 * (1 - 2e-5)
    wanted = 0.1 + np.exp(-2) * np.log(u / (1 - u))
    assert draw(Logistics(1), np.array([0.0, 0.1, -2.0]), (0.5, 0.3), 1.0) == pytest.approx(wanted)
    wanted = 0.1 + np.exp(-2) * np.sqrt(-2 * np.log(0.6)) * np.cos(0.6 * np.pi)
    assert draw(Gaussian(), np.array([0.1, -2.0]), (0.4, 0.3), 1.0) == pytest.approx(wanted)


def test_reals_stay_in_range_and_scales_above_their_least() -> None:
    assert draw(Gaussian(), np.array([0.9, 3.0]), (0.9999, 0.0), 1.0) == 1
    assert draw(Logistics(1), np.array([0.0, -0.9, 3.0]), (0.5, 0.0), 1.0) == -1
    at_least = draw(Gaussian(-2.0), np.array([0.0, -50.0]), (0.4, 0.3), 1.0)
    assert at_least == pytest.approx(draw(Gaussian(), np.array([0.0, -2.0]), (0.4, 0.3), 1.0))
