"""The acoustic model in training computes what the compiled one will."""

import numpy as np
import pytest

from wavejit.acoustic.model import FORMAT, AcousticConfig, AcousticModel
from wavejit.acoustic.networks import AcousticNetwork, shapes
from wavejit.acoustic.prosody import frame_rows
from wavejit.acoustic.symbols import Phonemes
from wavejit.audio import FeatureContract

torch = pytest.importorskip("torch", reason="training needs PyTorch")

from wavejit.training.acoustic_twin import AcousticTwin  # noqa: E402

FEATURES = FeatureContract(
    sample_rate=8000, hop_length=80, window_length=320, n_fft=512, bins=6, f_max=4000.0, pitch=True
)
NETWORK = AcousticNetwork(reader=10, prosody=8, contour=3, decoder=12, bins=6)
HELLO = Phonemes(("SIL", "HH", "AH0", "L", "OW1", "SIL"), (-1, 0, 0, 0, 0, -1), "question")


def test_the_compiled_model_plans_and_makes_what_the_twin_does() -> None:
    torch.manual_seed(2)
    twin = AcousticTwin(NETWORK, np.linspace(-5, -1, 6, dtype=np.float32), np.full(6, 1.5, np.float32)).eval()
    twin.prosody_out.bias.data[0] = 1.5  # a few frames each
    weights = twin.weights()
    assert {name: data.shape for name, data in weights.items()} == shapes(NETWORK)
    model = AcousticModel(AcousticConfig(format=FORMAT, network=NETWORK, features=FEATURES), weights)
    spoken = model.plan(HELLO)
    with torch.no_grad():
        rows = torch.from_numpy(HELLO.rows())[None]
        reading = twin.reading(rows, torch.tensor([6]))
        np.testing.assert_allclose(spoken.reading, reading[0].numpy(), atol=1e-5)
        said = twin.prosody(reading)[0].numpy()
        np.testing.assert_array_equal(spoken.prosody.frames, np.maximum(1, np.round(np.exp(said[:, 0]))))
        np.testing.assert_allclose(spoken.prosody.ln_f0, said[:, 1:4] * 0.25 + 5.3, atol=1e-4)
        pitch = spoken.prosody.pitch()
        given = frame_rows(spoken.reading, spoken.prosody.frames, pitch, 5.3, 0.25)
        mel = twin.decode(torch.from_numpy(given)[None])[0] * twin.scale + twin.mean
    frames = np.concatenate(list(model.frames(spoken, first=3, chunk=4)))
    np.testing.assert_allclose(frames[:, :6], mel.numpy(), atol=1e-4)
    np.testing.assert_array_equal(frames[:, 6:], pitch)


def test_speed_shortens_and_pitch_raises() -> None:
    rng = np.random.default_rng(0)
    weights = {name: (0.2 * rng.normal(size=shape)).astype(np.float32) for name, shape in shapes(NETWORK).items()}
    weights["prosody.out.bias"][0] = 3.0
    model = AcousticModel(AcousticConfig(format=FORMAT, network=NETWORK, features=FEATURES), weights)
    slow, fast = model.plan(HELLO), model.plan(HELLO, speed=2.0)
    assert fast.prosody.total == pytest.approx(slow.prosody.total / 2, rel=0.1)
