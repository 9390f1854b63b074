"""The delay is found to a fraction of a millisecond, whatever the phase."""

import numpy as np
import pytest

from tests.evaluation.signals import RATE, noise, voiced
from wavejit.evaluation.alignment import aligned, constant_delay


@pytest.mark.parametrize("delay", [0, 7, 62, 500, -240])
def test_a_known_delay_is_found(delay: int) -> None:
    source = voiced(1.2) + noise(1.2, 0.01)
    recorded, made = source[800:17600], source[800 - delay : 17600 - delay]
    assert constant_delay([(recorded, made)], RATE) == pytest.approx(delay, abs=5)


def test_another_sign_is_no_delay() -> None:
    source = voiced()
    assert constant_delay([(source, -source), (voiced(0.5, 200), voiced(0.5, 200))], RATE) == 0


def test_what_is_cut_lies_beside_one_another() -> None:
    source = np.arange(100, dtype=np.float32)
    for delay in (-3, 0, 3):
        made = np.roll(source, delay)
        x, y = aligned(source, made, delay)
        assert len(x) == 100 - abs(delay)
        np.testing.assert_array_equal(x, y)
    assert len(aligned(source, source[:40], 0)[0]) == 40
