"""The voice's vocoder: its step says what its equations say, in every precision and on both backends."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.models.literal import sigmoid, synthesis
from wavejit.audio.pqmf import delay
from wavejit.backends.llvm.compile import host_target
from wavejit.backends.reference import Reference
from wavejit.errors import InputError
from wavejit.ir.formats import FormatName
from wavejit.models import mel_wavegru
from wavejit.models.mel_wavegru import MelWaveGRU, predictor
from wavejit.passes import lower
from wavejit.runtime.engine import Engine

CUTOFF = 0.142
STEPS = 5  # a frame


def small(**sizes: object) -> tuple[MelWaveGRU, dict[str, np.ndarray]]:
    fields = {
        "width": 6, "dense": 5, "channels": 7, "hop_length": 4 * STEPS, "conditioning_width": 4, "context": 3,
        "components": 2, "order": 5, "history": 3, "pitch_taps": 3, "longest_period": 9,
        "band_gains": (1.5, 2.0, 3.0, 4.0),
    } | sizes  # fmt: skip
    network = MelWaveGRU(sample_rate=8000, **fields)  # pyright: ignore[reportArgumentType]
    return network, mel_wavegru.FAMILY.random_weights(network, seed=3)


def some_frames(n: MelWaveGRU, frames: int) -> np.ndarray:
    rng = np.random.default_rng(9)
    features = rng.standard_normal((frames, n.channels))
    features[:, -2] = np.log(rng.uniform(150, 900, frames))  # periods of 2 to 13 steps, where 9 is the longest
    return features


def literal_parameters(n: MelWaveGRU, w: dict[str, np.ndarray], frames: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """The parameters of every draw, step by step as the equations have them: `(steps, bands, 3, components)`."""
    w = {name: data.astype(np.float64) for name, data in w.items()}
    late = np.concatenate([np.tile(w["silence"], (n.context - 1, 1)), frames])
    h, found = np.zeros(n.width), []

    def at(values: np.ndarray | list[np.ndarray], step: int) -> np.ndarray:
        return values[step] if step >= 0 else np.zeros(n.bands)

    excitations: list[np.ndarray] = []
    for t in range(len(drawn)):
        newest = t // STEPS + n.context - 1
        c = late[newest - n.context + 1 : newest + 1].ravel()
        for i in range(2):
            c = np.maximum(0, w[f"conditioning.{i}.weight"] @ c + w[f"conditioning.{i}.bias"])
        period = n.sample_rate / n.bands / np.exp(late[newest - 1 : newest + 1, -2].mean())
        reach = n.pitch_taps // 2
        lags = [
            int(np.floor(np.clip(period + near, 1, n.longest_period + reach) + 0.5))
            for near in range(-reach, reach + 1)
        ]
        k = np.tanh(w["reflections.weight"] @ c + w["reflections.bias"]).reshape(n.order, n.bands)
        level, loudness = np.exp(np.maximum(-8.0, w["levels.weight"] @ c + w["levels.bias"])).reshape(2, n.bands)
        coefficients = np.stack([levinson(k[:, band]) for band in range(n.bands)], 1)
        predicted = np.sum([coefficients[i] * at(drawn, t - 1 - i) for i in range(n.order)], axis=0)
        taps = [at(excitations, t - ago) for ago in (*range(1, n.history + 1), *lags)]
        taps += [x / loudness for x in (predicted, *(at(drawn, t - ago) for ago in range(1, n.history + 1)))]
        past = np.clip(np.concatenate(taps), -8.0, 8.0)
        products = w["gru.recurrent.weight"] @ h + w["gru.recurrent.bias"]
        gates = w["gru.inputs.weight"] @ np.concatenate([past, c]) + w["gru.inputs.bias"]
        r, z = (
            sigmoid(products[i * n.width : (i + 1) * n.width] + gates[i * n.width : (i + 1) * n.width]) for i in (0, 1)
        )
        new = np.tanh(gates[2 * n.width :] + r * products[2 * n.width :])
        h = new + z * (h - new)
        y = np.maximum(0, w["dense.weight"] @ np.concatenate([h, past]) + w["dense.bias"])
        parameters = (w["out.weight"] @ y + w["out.bias"]).reshape(n.bands, 3, n.components)
        parameters[:, 1] = predicted[:, None] + level[:, None] * parameters[:, 1]
        parameters[:, 2] += np.log(level)[:, None]
        found.append(parameters)
        excitations.append((drawn[t] - predicted) / level)
    return np.array(found)


def levinson(k: np.ndarray) -> np.ndarray:
    """The predictor of reflection coefficients, element by element."""
    a: np.ndarray = np.zeros(0)
    for i, last in enumerate(k):
        a = np.append([a[j] - last * a[i - 1 - j] for j in range(i)], last)
    return a


def test_the_equations() -> None:
    network, weights = small()
    step = mel_wavegru.FAMILY.step("test", network, weights)
    assert (step.samples_per_tick, step.hop_length) == (4, 4 * STEPS)
    frames = some_frames(network, 8)
    drawn = np.random.default_rng(1).uniform(-1, 1, (8 * STEPS, 4))
    run = Reference(step).run(len(drawn), {"features": frames}, drawn)
    expected = literal_parameters(network, weights, frames, drawn)
    found = np.stack([run.parameters[f"band.{i}"][:, 0] for i in range(4)], 1)
    np.testing.assert_allclose(found, expected.reshape(found.shape), rtol=0, atol=1e-6)
    heard = synthesis(drawn / network.band_gains, CUTOFF)
    np.testing.assert_allclose(run.samples, np.clip(heard, -1, 1), rtol=0, atol=1e-6)


def test_any_reflection_coefficients_make_a_stable_predictor() -> None:
    rng = np.random.default_rng(8)
    for order in (1, 2, 8, 16):
        k = np.tanh(rng.normal(scale=1.5, size=order))
        found = np.array(predictor(list(k)))
        np.testing.assert_allclose(found, levinson(k), atol=1e-12)
        assert np.abs(np.roots(np.append(1.0, -found))).max() < 1


def test_a_predictor_whitens_what_its_own_resonances_made() -> None:
    k = np.array([0.9, -0.7, 0.3])
    a = np.array(predictor(list(k)))
    rng = np.random.default_rng(2)
    x = np.zeros(20_000)
    for t in range(3, len(x)):
        x[t] = a @ x[t - 3 : t][::-1] + rng.normal()
    solved = np.linalg.lstsq(np.stack([x[2 - i : -1 - i] for i in range(3)], 1), x[3:], rcond=None)[0]
    np.testing.assert_allclose(a, solved, atol=0.03)


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16", "int16", "int8", "mxint8", "int4"])
def test_native_code_scores_as_the_reference_of_its_format(precision: FormatName) -> None:
    network, weights = small(width=32, dense=24, conditioning_width=16)
    step = replace(mel_wavegru.FAMILY.step("test", network, weights), precision=precision)
    frames = some_frames(network, 6)
    drawn = np.random.default_rng(2).uniform(-0.5, 0.5, (6 * STEPS, 4)).astype(np.float32)
    engine = Engine(step, host_target())
    score = engine.stream().score(drawn, frames.astype(np.float32))
    reference = Reference(lower(step, host_target()))
    run = reference.run(len(drawn), {"features": frames.astype(np.float32).astype(float)}, drawn.astype(float))
    for name, found in score.parameters.items():
        np.testing.assert_allclose(found, run.parameters[name][:, 0], atol=1e-3, err_msg=name)


def test_the_recordings_own_bands_give_the_recording_back_a_frame_late() -> None:
    network, weights = small()
    samples = 0.2 * np.sin(np.arange(60 * 4 * STEPS) * 0.3).astype(np.float32)
    drawn = mel_wavegru.FAMILY.drawn
    assert drawn is not None
    values = drawn(network, samples)
    forced = np.stack([values[f"band.{i}"] for i in range(4)], 1).astype(float)
    step = mel_wavegru.FAMILY.step("test", network, weights)
    heard = Reference(step).run(len(forced), {"features": some_frames(network, 60)}, forced).samples
    late = mel_wavegru.FAMILY.behind(network)
    assert late == network.hop_length + delay(4)
    np.testing.assert_allclose(heard[late:], samples[: len(samples) - late], atol=0.01)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"hop_length": 6}, "hop_length is 6, expected a multiple of network.bands, 4"),
        ({"pitch_taps": 2}, "pitch_taps is 2, expected an odd number"),
        ({"band_gains": (1.0, 2.0)}, "band_gains are .*expected 4 numbers above 0"),
        ({"band_gains": (1.0, 0.0, 1.0, 1.0)}, "band_gains"),
    ],
)
def test_impossible_sizes_are_refused(sizes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        small(**sizes)
