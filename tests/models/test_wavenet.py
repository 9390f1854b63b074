"""WaveNet: the step says what Deep Voice's equations say."""

import numpy as np
import pytest

from tests.models.literal import wavenet_logits
from wavejit.backends.reference import Reference
from wavejit.models import wavenet
from wavejit.models.wavenet import WaveNet

TICKS = 40

CASES = {
    "conditioned": WaveNet(
        sample_rate=8000,
        layers=5,
        residual_channels=4,
        skip_channels=6,
        classes=16,
        cycle=3,
        conditioning_channels=3,
        hop_length=7,
    ),
    "unconditional, one layer": WaveNet(
        sample_rate=8000, layers=1, residual_channels=3, skip_channels=2, classes=8, conditioning_channels=0
    ),
    "long dilations": WaveNet(
        sample_rate=8000,
        layers=7,
        residual_channels=2,
        skip_channels=5,
        classes=9,
        cycle=6,
        conditioning_channels=1,
        hop_length=40,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_equations(case: str) -> None:
    network = CASES[case]
    rng = np.random.default_rng(1)
    weights = wavenet.FAMILY.random_weights(network, seed=2)
    labels = rng.integers(0, network.classes, TICKS)
    channels, hop = network.conditioning_channels, network.hop_length
    frames = rng.standard_normal((-(-TICKS // hop), channels))
    dilations = [2 ** (i % network.cycle) for i in range(network.layers)]

    found = Reference(wavenet.FAMILY.step("test", network, weights)).run(
        TICKS, {"features": frames} if channels else {}, labels[:, None].astype(float)
    )
    held = np.repeat(frames, hop, axis=0)[:TICKS] if channels else None
    expected = wavenet_logits(weights, dilations, labels.astype(float), held)
    np.testing.assert_allclose(found.parameters["sample"][:, 0], expected, rtol=0, atol=1e-9)
    assert np.ptp(expected, axis=0).min() > 1e-3  # or agreement would say little


def test_the_sound_is_mu_law() -> None:
    network = CASES["unconditional, one layer"]
    step = wavenet.FAMILY.step("test", network, wavenet.FAMILY.random_weights(network))
    labels = np.arange(network.classes, dtype=float)
    found = Reference(step).run(network.classes, {}, labels[:, None])
    mu = network.classes - 1
    curve = 2 * labels / mu - 1
    np.testing.assert_allclose(found.samples, np.sign(curve) * ((1 + mu) ** np.abs(curve) - 1) / mu, atol=1e-6)
