"""The mel-conditioned WaveRNN: the step says what the public implementations' generate loop does."""

from math import prod

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.models.literal import mel_wavernn_parameters, upsample
from wavejit.backends.reference import Reference, Run
from wavejit.errors import InputError
from wavejit.models import mel_wavernn
from wavejit.models.mel_wavernn import MelWaveRNN, box_upsampling

FRAMES = 5

FATCHORD = MelWaveRNN(
    sample_rate=8000,
    bins=3,
    hop_length=6,
    padding=2,
    residual_channels=4,
    residual_blocks=2,
    gru_widths=(5, 5),
    hidden_widths=(6, 7),
    auxiliary=((0, 2), (2, 2), (4, 2), (6, 2)),
    auxiliary_channels=8,
    classes=16,
    companding="mu-law",
)
GENEING = msgspec.structs.replace(
    FATCHORD,
    gru_widths=(5,),
    hidden_widths=(6,),
    auxiliary=((0, 3), (4, 4)),
    companding="linear",
    padding=3,
)
LOGISTICS = msgspec.structs.replace(FATCHORD, output="logistics", components=4, residual_blocks=0)
CASES = {"fatchord": FATCHORD, "geneing": GENEING, "logistics": LOGISTICS}
SCALES = [2, 3]


def teacher_forced(
    network: MelWaveRNN, weights: dict[str, NDArray[np.float32]], mels: NDArray[np.float64], drawn: NDArray[np.float64]
) -> Run:
    step = mel_wavernn.FAMILY.step("test", network, weights)
    assert step.lookahead == network.padding
    ahead = step.lookahead
    late = np.concatenate([mels[ahead:], np.zeros((ahead, network.bins))])
    reference = Reference(step)
    reference.prime({"features": mels[:ahead]})
    return reference.run(len(drawn), {"features": late}, drawn[:, None])


def random_filters(seed: int) -> list[NDArray[np.float64]]:
    # Sixteenths: the product of two stages is then exact in the float32 of `upsample.taps`.
    rng = np.random.default_rng(seed)
    return [rng.integers(-16, 17, 2 * scale + 1) / 16 for scale in SCALES]


@pytest.mark.parametrize("case", CASES)
def test_the_generate_loop(case: str) -> None:
    network = CASES[case]
    rng = np.random.default_rng(4)
    weights = mel_wavernn.FAMILY.random_weights(network, seed=5)
    filters = random_filters(6)
    weights["upsample.taps"] = box_upsampling(tuple(SCALES), network.padding, tuple(filters))
    mels = rng.standard_normal((FRAMES, network.bins))
    ticks = FRAMES * network.hop_length
    if network.output == "categorical":
        drawn = rng.integers(0, network.classes, ticks).astype(float)
        # The model's table of samples is float32.
        seen = (2 * drawn / (network.classes - 1) - 1).astype(np.float32).astype(np.float64)
    else:
        drawn = seen = rng.uniform(-1, 1, ticks)

    found = teacher_forced(network, weights, mels, drawn)
    padded = np.pad(mels, ((network.padding, network.padding), (0, 0)))
    expected = mel_wavernn_parameters(
        weights,
        np.concatenate([[0.0], seen[:-1]]),
        mels,
        network.padding,
        upsample(padded, SCALES, filters, network.padding),
        list(network.auxiliary),
    )
    np.testing.assert_allclose(found.parameters["sample"][:, 0], expected, rtol=0, atol=1e-9)
    assert np.ptp(expected, axis=0).max() > 1e-2
    heard = seen
    if network.companding == "mu-law" and network.output == "categorical":
        mu = network.classes - 1
        heard = np.sign(seen) * ((1 + mu) ** np.abs(seen) - 1) / mu
    np.testing.assert_allclose(found.samples, heard, atol=1e-6)


@pytest.mark.parametrize("scales", [[6], [2, 3], [5, 5, 11], [4, 5, 10]])
@pytest.mark.parametrize("padding", [2, 3])
def test_the_polyphase_filter_is_the_stages(scales: list[int], padding: int) -> None:
    rng = np.random.default_rng(7)
    filters = [rng.uniform(-1, 1, 2 * scale + 1) for scale in scales]
    taps = box_upsampling(tuple(scales), padding, tuple(filters)).astype(np.float64)
    hop = prod(scales)
    assert taps.shape == (hop, 2 * padding + 1)
    mels = np.pad(rng.standard_normal((4, 2)), ((padding, padding), (0, 0)))
    expected = upsample(mels, scales, filters, padding)
    found = [taps[t % hop] @ mels[t // hop : t // hop + 2 * padding + 1][::-1] for t in range(len(expected))]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_without_filters_the_stages_take_means() -> None:
    means = tuple(np.full(2 * scale + 1, 1 / (2 * scale + 1)) for scale in SCALES)
    np.testing.assert_array_equal(box_upsampling((2, 3), 2), box_upsampling((2, 3), 2, means))
    np.testing.assert_allclose(box_upsampling((2, 3), 2).sum(axis=1), 1, rtol=1e-6)


def test_deemphasis_is_heard_and_not_seen() -> None:
    network = msgspec.structs.replace(GENEING, deemphasis=0.875)
    weights = mel_wavernn.FAMILY.random_weights(network)
    rng = np.random.default_rng(8)
    mels, drawn = rng.standard_normal((FRAMES, 3)), rng.integers(0, 16, FRAMES * 6).astype(float)
    plain, filtered = (teacher_forced(n, weights, mels, drawn) for n in (GENEING, network))
    np.testing.assert_array_equal(plain.parameters["sample"], filtered.parameters["sample"])
    y = 0.0
    for found, x in zip(filtered.samples, plain.samples, strict=True):
        y = x + 0.875 * y
        assert found == pytest.approx(y, abs=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"auxiliary": ((0, 2),)}, "network.auxiliary has 1 parts, expected 4"),
        ({"auxiliary": ((0, 2), (2, 2), (4, 2), (7, 2))}, r"part \[7, 2\], expected .* within 8 channels"),
        ({"auxiliary": ((-1, 2), (2, 2), (4, 2), (6, 2))}, r"part \[-1, 2\]"),
        ({"auxiliary": ((0, 0), (2, 2), (4, 2), (6, 2))}, r"part \[0, 0\]"),
        ({"gru_widths": (5, 6)}, "expected equal widths"),
    ],
)
def test_sizes_that_do_not_go_together_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        msgspec.structs.replace(FATCHORD, **change)
