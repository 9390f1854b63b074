"""WaveRNN: the step says what equation 2 of its paper says."""

import numpy as np
import pytest

from tests.models.literal import wavernn_logits
from wavejit.backends.reference import Reference
from wavejit.errors import InputError
from wavejit.models import wavernn
from wavejit.models.wavernn import UNIT, WaveRNN

TICKS = 30


@pytest.mark.parametrize("channels", [0, 3])
@pytest.mark.parametrize("width", [2, 10])
def test_the_equations(width: int, channels: int) -> None:
    network = WaveRNN(sample_rate=8000, width=width, conditioning_channels=channels, hop_length=8)
    rng = np.random.default_rng(width + channels)
    weights = wavernn.FAMILY.random_weights(network, seed=3)
    drawn = rng.integers(0, 256, (TICKS, 2)).astype(float)
    frames = rng.standard_normal((-(-TICKS // 8), channels))

    step = wavernn.FAMILY.step("test", network, weights)
    found = Reference(step).run(TICKS, {"features": frames} if channels else {}, drawn)
    held = np.repeat(frames, 8, axis=0)[:TICKS] if channels else None
    coarse, fine = wavernn_logits(weights, drawn[:, 0], drawn[:, 1], held, UNIT.data[:, 0].astype(np.float64))
    np.testing.assert_allclose(found.parameters["coarse"][:, 0], coarse, rtol=0, atol=1e-9)
    np.testing.assert_allclose(found.parameters["fine"][:, 0], fine, rtol=0, atol=1e-9)
    assert np.ptp(fine, axis=0).max() > 1e-3
    unsigned = drawn[:, 0] * 256 + drawn[:, 1]
    np.testing.assert_allclose(found.samples, unsigned / 32767.5 - 1, atol=1e-6)


def test_bytes_are_seen_from_minus_one_to_one() -> None:
    np.testing.assert_allclose(UNIT.data[:, 0], np.arange(256) / 127.5 - 1, rtol=0, atol=1e-7)


def test_the_coarse_byte_does_not_see_itself() -> None:
    network = WaveRNN(sample_rate=8000, width=6)
    step = wavernn.FAMILY.step("test", network, wavernn.FAMILY.random_weights(network))
    one, other = np.array([[10.0, 5.0]]), np.array([[200.0, 5.0]])
    first, second = (Reference(step).run(1, {}, forced).parameters for forced in (one, other))
    np.testing.assert_array_equal(first["coarse"], second["coarse"])
    assert np.abs(first["fine"] - second["fine"]).max() > 1e-3


def test_an_odd_width_is_refused() -> None:
    with pytest.raises(InputError, match=r"network\.width is 7, expected an even number"):
        WaveRNN(sample_rate=8000, width=7)
