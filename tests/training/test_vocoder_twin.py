"""The vocoder in training computes what the compiled one will."""

import numpy as np
import pytest

from wavejit.backends.reference import Reference
from wavejit.models import mel_wavegru
from wavejit.models.mel_wavegru import MelWaveGRU

torch = pytest.importorskip("torch", reason="training needs PyTorch")

from wavejit.training.speech import Speech  # noqa: E402
from wavejit.training.streams import cut, first_place, periods  # noqa: E402
from wavejit.training.vocoder_twin import MelWaveGRUTwin, negative_log_likelihood  # noqa: E402

NETWORK = MelWaveGRU(
    sample_rate=2400, width=12, dense=10, channels=7, hop_length=48, conditioning_width=6, context=4,
    band_gains=(1.5, 3.0, 2.0, 4.0), components=2, order=5, history=3, pitch_taps=3,
    longest_period=20,
)  # fmt: skip
STEPS = 12  # a frame


def speech(frames: int) -> Speech:
    rng = np.random.default_rng(5)
    features = rng.normal(size=(frames, 7)).astype(np.float32)
    features[:, -2] = np.log(rng.uniform(30, 200, frames))
    bands = rng.uniform(-0.3, 0.3, (frames * STEPS, 4)).astype(np.float32)
    return Speech(features, bands, np.zeros(1, np.int64))


def test_the_twin_gives_the_parameters_of_the_step() -> None:
    torch.manual_seed(1)
    data = speech(18)
    twin = MelWaveGRUTwin(NETWORK, data.frames.mean(0), data.frames.std(0))
    for parameter in twin.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter) * (parameter.ndim > 1)
    bands = data.bands * np.array(NETWORK.band_gains, np.float32)
    first, chunk = first_place(NETWORK), 6
    batch = cut(data.frames, bands, periods(data.frames, NETWORK), NETWORK, np.array([first]), chunk)
    state = torch.randn(1, NETWORK.width)
    with torch.no_grad():
        batch_of = (torch.from_numpy(x) for x in (batch.frames, batch.heard, batch.lags))
        parameters, _, _ = twin(*batch_of, state)

    step = mel_wavegru.FAMILY.step("twin", NETWORK, twin.weights() | {"silence": np.zeros(7, np.float32)})
    reference = Reference(step)
    forced = np.concatenate([np.zeros((STEPS, 4)), bands]).astype(
        np.float64
    )  # a frame's audio comes while the next is the newest
    before = (first + 1) * STEPS
    frames = data.frames.astype(np.float64)
    reference.run(before, {"features": frames[: first + 1]}, forced[:before])
    gru = next(ref for ref in reference._past if reference._now[ref].shape[1] == NETWORK.width)
    newest = max(reference._past[gru])
    reference._past[gru][newest] = state.numpy().astype(np.float64)
    run = reference.run(
        chunk * STEPS, {"features": frames[first + 1 : first + 1 + chunk]}, forced[before : before + chunk * STEPS]
    )
    for band in range(4):
        expected = parameters[:, 0, band].reshape(chunk * STEPS, -1).numpy()
        np.testing.assert_allclose(run.parameters[f"band.{band}"][:, 0], expected, rtol=2e-4, atol=2e-4)


def test_the_loss_is_the_density_of_the_mixture() -> None:
    parameters = torch.tensor([[[0.2, -0.5], [0.1, -0.3], [-2.0, -1.0]]], dtype=torch.float64)
    x = np.linspace(-12, 12, 200_001)
    nats = negative_log_likelihood(parameters.expand(len(x), 1, 3, 2), torch.from_numpy(x[:, None]))[:, 0]
    assert float(torch.trapezoid(torch.exp(-nats), torch.from_numpy(x))) == pytest.approx(1.0, abs=1e-6)


def test_the_loss_falls_where_the_truth_is_likelier() -> None:
    parameters = torch.zeros(1, 1, 3, 2)
    parameters[:, :, 2] = -3.0
    near, far = (negative_log_likelihood(parameters, torch.tensor([[x]])).item() for x in (0.0, 0.5))
    assert near == pytest.approx(np.log(4) - 3.0, abs=1e-5)  # a logistic's peak is 1 / (4 scale)
    assert far > near + 5
