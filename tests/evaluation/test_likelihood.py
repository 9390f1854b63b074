"""The likelihood against analytic values, and against the reference backend."""

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from tests.cli.small_voice import BINS, HOP, SAMPLE_RATE, random_features, small_voice
from wavejit.audio import PRESETS, linear_encode, mel_features, read_audio
from wavejit.audio.pqmf import delay
from wavejit.backends.llvm.compile import host_target
from wavejit.backends.reference import Reference
from wavejit.checkpoints import import_checkpoint
from wavejit.evaluation.likelihood import log_likelihood, negative_log_likelihood
from wavejit.ir.ops import Categorical, Gaussian, Greedy, Logistics
from wavejit.model import Model, load
from wavejit.models import builtin
from wavejit.runtime.engine import Engine

FRAMES = 4
SAMPLES = np.random.default_rng(3).uniform(-0.9, 0.9, FRAMES * HOP).astype(np.float32)
CLASSES = 64


def voice_with(**weights: np.ndarray) -> Model:
    files = small_voice()
    named = {name.replace("_", "."): data.astype(np.float32) for name, data in weights.items()}
    return Model("voice", replace(files, weights={**files.weights, **named}))


@pytest.mark.parametrize("sharpness", [0.0, 1.0])
def test_a_model_that_predicts_the_same_always(sharpness: float) -> None:
    width = small_voice().weights["out.weight"].shape[1]
    bias = sharpness * np.random.default_rng(4).standard_normal(CLASSES)
    model = voice_with(out_weight=np.zeros((CLASSES, width)), out_bias=bias)
    probabilities = np.exp(bias) / np.exp(bias).sum()
    expected = -np.log(probabilities[linear_encode(SAMPLES, CLASSES)]).mean()
    found = negative_log_likelihood(model.compile(), SAMPLES, random_features(FRAMES))
    assert found == pytest.approx(expected, abs=1e-5)
    if not sharpness:
        assert found == pytest.approx(np.log(CLASSES), abs=1e-5)


def test_a_model_that_knows_what_comes_pays_nothing() -> None:
    width = small_voice().weights["out.weight"].shape[1]
    bias = np.where(np.arange(CLASSES) == 7, 100.0, 0.0)
    model = voice_with(out_weight=np.zeros((CLASSES, width)), out_bias=bias)
    constant = np.full(FRAMES * HOP, 2 * 7 / (CLASSES - 1) - 1, np.float32)
    assert negative_log_likelihood(model.compile(), constant, random_features(FRAMES)) == pytest.approx(0.0, abs=1e-6)


def test_is_what_the_reference_gives_with_the_recording_fed_back(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Model("voice", small_voice())
    frames = random_features(FRAMES).astype(np.float64)
    ahead = np.concatenate([frames, np.zeros((1, BINS))])  # the network looks a frame ahead
    reference = Reference(model.step)
    reference.prime({"features": ahead[:1]})
    labels = linear_encode(SAMPLES, CLASSES)[: FRAMES * HOP]
    run = reference.run(len(labels), {"features": ahead[1:]}, labels[:, None].astype(np.float64))
    logits = run.parameters["sample"][:, 0]
    expected = (np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(labels)), labels]).mean()
    vocoder = model.compile()
    assert negative_log_likelihood(vocoder, SAMPLES, random_features(FRAMES)) == pytest.approx(expected, rel=1e-4)
    # However it is cut, and where the recording ends within a frame.
    monkeypatch.setattr("wavejit.evaluation.likelihood.SECONDS_AT_ONCE", HOP / SAMPLE_RATE)
    assert negative_log_likelihood(vocoder, SAMPLES, random_features(FRAMES)) == pytest.approx(expected, rel=1e-4)
    short = negative_log_likelihood(vocoder, SAMPLES[:-20], random_features(FRAMES))
    costs = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(labels)), labels]
    assert short == pytest.approx(costs[:-20].mean(), rel=1e-4)


@pytest.mark.parametrize("distribution", [Logistics(2), Gaussian()], ids=["logistics", "gaussian"])
def test_densities_have_the_area_one(distribution: Logistics | Gaussian) -> None:
    parameters = [0.3, -1.0, -0.5, 0.2, -3.0, -2.0] if isinstance(distribution, Logistics) else [0.1, -2.0]
    x = np.linspace(-8, 8, 40001)
    densities = np.exp(log_likelihood(distribution, np.tile(parameters, (len(x), 1)), x))
    assert np.trapezoid(densities, x) == pytest.approx(1.0, abs=1e-4)


def test_densities_at_the_mean() -> None:
    assert log_likelihood(Gaussian(), [[0.4, np.log(0.1)]], [0.4])[0] == pytest.approx(
        -np.log(0.1 * np.sqrt(2 * np.pi))
    )
    assert log_likelihood(Logistics(1), [[5.0, 0.4, np.log(0.1)]], [0.4])[0] == pytest.approx(-np.log(4 * 0.1))
    clamped = log_likelihood(Gaussian(np.log(0.1)), [[0.4, -50.0]], [0.4])[0]
    assert clamped == pytest.approx(-np.log(0.1 * np.sqrt(2 * np.pi)))


def test_probabilities_add_up() -> None:
    logits = np.random.default_rng(5).standard_normal((1, 8)) * 300
    total = np.exp([log_likelihood(Categorical(), logits, [k])[0] for k in range(8)]).sum()
    assert total == pytest.approx(1.0)
    with pytest.raises(ValueError, match="no likelihood"):
        log_likelihood(Greedy(), logits, [0])


def test_a_family_that_cannot_say_what_it_draws_has_none() -> None:
    files = small_voice()
    model = Model("voice", replace(files, family=replace(files.family, drawn=None)))
    assert negative_log_likelihood(model.compile(), SAMPLES, random_features(FRAMES)) is None


@pytest.mark.parametrize("name", ["deepvoice-2-8-16", "wavernn-16", "wavegru-16", "samplernn-16"])
def test_what_a_family_says_it_would_have_drawn_is_heard_as_the_recording(name: str) -> None:
    found = builtin(name)
    assert found is not None
    family, network = found
    assert family.drawn is not None
    engine = Engine(load(name).step, host_target())
    t = np.arange(3200)
    samples = (0.4 * np.sin(0.05 * t) + 0.2 * np.sin(0.9 * t)).astype(np.float32)
    given = family.drawn(network, samples)
    forced = np.stack([given[draw.name] for draw in engine.draws], axis=1).astype(np.float32)
    frames = np.zeros((-(-len(forced) // engine.clock), engine.frame_size), np.float32) if engine.clock else None
    heard = engine.stream().score(forced, frames).samples
    late = delay(4) if name.startswith("wavegru") else 0
    tolerance = {"deepvoice": 0.03, "wavernn": 4e-5, "wavegru": 0.01, "samplernn": 0.005}[name.split("-")[0]]
    np.testing.assert_allclose(heard[late + 200 :], samples[200 : len(heard) - late], atol=tolerance)


@pytest.mark.parametrize("deemphasis", [0.0, 0.9])
@pytest.mark.parametrize("output", ["categorical", "mu-law", "logistics"])
def test_the_mel_conditioned_family_says_it_for_each_output(output: str, deemphasis: float) -> None:
    files = small_voice()
    changes = {"output": "logistics"} if output == "logistics" else {"companding": "mu-law", "classes": 1024}
    changes |= {"companding": "linear", "classes": 1024} if output == "categorical" else {}
    network = msgspec.structs.replace(files.network, deemphasis=deemphasis, **changes)
    family = files.family
    assert family.drawn is not None
    model = Model("voice", replace(files, network=network, weights=family.random_weights(network)))
    engine = Engine(model.step, host_target())
    samples = (0.3 * np.sin(0.05 * np.arange(500))).astype(np.float32)
    forced = family.drawn(network, samples)["sample"][:, None].astype(np.float32)
    heard = engine.stream().score(forced, random_features(10)).samples
    np.testing.assert_allclose(heard, samples, atol=0.01 if output != "logistics" else 1e-5)


@pytest.mark.slow
def test_a_trained_voice_predicts_its_recording_and_worse_with_features_of_another_place(
    shared: Path, tmp_path: Path
) -> None:
    folder = shared / "checkpoints" / "geneing_wavernn"
    contract = PRESETS["tacotron-16k"]
    recording, _ = read_audio(folder / "mel-northandsouth_52_f000076.wav", contract.sample_rate)
    frames = mel_features(recording, contract)[80:120]  # speech begins at 0.5 s
    vocoder = Model("trained", import_checkpoint(folder / "model.bin", features=contract)).compile()
    recording = recording[80 * contract.hop_length : 120 * contract.hop_length]
    found = negative_log_likelihood(vocoder, recording, frames)
    wrong = negative_log_likelihood(vocoder, recording, np.roll(frames, 15, axis=0))
    assert found is not None
    assert wrong is not None
    assert 0.5 < found < 4
    assert wrong > found + 0.3
