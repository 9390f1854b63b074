"""SampleRNN: the step says what the paper's tiers say."""

import numpy as np
import pytest

from tests.models.literal import samplernn_logits
from wavejit.audio import linear_table
from wavejit.backends.reference import Reference
from wavejit.errors import InputError
from wavejit.ir.cost import cost
from wavejit.models import builtin, samplernn
from wavejit.models.samplernn import SampleRNN


@pytest.mark.parametrize("frame_sizes", [(8, 2), (4, 2), (9, 3)])
def test_the_tiers(frame_sizes: tuple[int, int]) -> None:
    network = SampleRNN(sample_rate=8000, width=6, frame_sizes=frame_sizes, classes=16, embedding=5)
    weights = samplernn.FAMILY.random_weights(network, seed=3)
    ticks = 6 * frame_sizes[0]
    drawn = np.random.default_rng(1).integers(0, 16, ticks).astype(float)
    found = Reference(samplernn.FAMILY.step("test", network, weights)).run(ticks, {}, drawn[:, None])
    expected = samplernn_logits(weights, drawn, frame_sizes)
    np.testing.assert_allclose(found.parameters["sample"][:, 0], expected, rtol=0, atol=1e-9)
    assert np.ptp(expected, axis=0).max() > 1e-2
    np.testing.assert_allclose(found.samples, linear_table(16)[drawn.astype(int)], atol=1e-6)


def test_the_sizes_of_the_paper() -> None:
    family, network = builtin("samplernn-1024") or pytest.fail("a built-in network")
    step = family.step("samplernn-1024", network, family.random_weights(network))
    width = 1024
    top = 3 * width * (width + 8) + 4 * width * width
    middle = 2 * width + 6 * width * width + 2 * width * width
    bottom = 2 * 256 * width + 2 * width * width + 256 * width
    assert cost(step).multiply_adds == top / 8 + middle / 2 + bottom
    assert (step.sample_rate, step.samples_per_tick, step.hop_length) == (16000, 1, 0)
    assert {line.clock for line in step.lines.values()} == {1, 2, 8}


@pytest.mark.parametrize("frame_sizes", [(2, 2), (8, 3), (2, 8)])
def test_frames_that_do_not_divide_are_refused(frame_sizes: tuple[int, int]) -> None:
    with pytest.raises(InputError, match=r"network\.frame_sizes is .*, expected the first to be a larger multiple"):
        SampleRNN(sample_rate=8000, width=4, frame_sizes=frame_sizes)
