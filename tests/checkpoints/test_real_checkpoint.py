"""The checkpoint that others trained: its sizes, its sparsity, and its conditioning layer by layer."""

import struct
from pathlib import Path

import numpy as np
import pytest

from tests.models.literal import upsample
from wavejit.audio import PRESETS
from wavejit.backends.reference import Reference
from wavejit.checkpoints import import_checkpoint, recognise
from wavejit.checkpoints.folder import ModelFiles, read_folder, write_folder
from wavejit.models.mel_wavernn import MelWaveRNN

NETWORK = MelWaveRNN(
    sample_rate=16000,
    bins=80,
    hop_length=200,
    padding=2,
    residual_channels=64,
    residual_blocks=3,
    auxiliary_channels=64,
    auxiliary=((0, 31), (32, 32)),
    gru_widths=(256,),
    hidden_widths=(128,),
    classes=1024,
)


@pytest.fixture(scope="module")
def path(shared: Path) -> Path:
    path = shared / "checkpoints" / "geneing_wavernn" / "model.bin"
    if not path.is_file():
        pytest.skip(f"needs the shared checkpoint: {path} is absent")
    return path


@pytest.fixture(scope="module")
def model(path: Path) -> ModelFiles:
    return import_checkpoint(path)


def test_sizes_features_and_licence(path: Path, model: ModelFiles) -> None:
    assert recognise(path) == "binary-wavernn"
    assert model.network == NETWORK
    assert model.features == PRESETS["tacotron-16k"]
    assert model.licence == "MIT"
    assert model.licence_text == (path.parent / "LICENSE").read_text("utf-8")
    assert model.provenance == "imported from model.bin"


def test_weights_and_their_sparsity(model: ModelFiles) -> None:
    sparse = ("inputs", "gru.0.inputs", "gru.0.recurrent", "hidden.0", "out")
    matrices = [model.weights[f"{name}.weight"] for name in sparse]
    assert sum(matrix.size for matrix in matrices) == 256 * 112 + 6 * 256 * 256 + 128 * 288 + 1024 * 128 == 589_824
    zero = sum(int((matrix == 0).sum()) for matrix in matrices) / 589_824
    assert zero == pytest.approx(0.85, abs=0.01)
    for matrix in matrices:
        groups = (matrix.reshape(len(matrix), -1, 4) != 0).any(axis=2)
        assert groups.mean() == pytest.approx(0.15, abs=0.01)  # each kept group is kept as a whole


def test_it_comes_back_from_a_folder(model: ModelFiles, tmp_path: Path) -> None:
    write_folder(tmp_path / "voice", model)
    found = read_folder(tmp_path / "voice")
    assert (found.config, found.licence_text) == (model.config, model.licence_text)
    assert all(np.array_equal(found.weights[name], data) for name, data in model.weights.items())


class Bytes:
    """A second reader, for this test alone: it knows where in this one file things are."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def integers(self, count: int) -> tuple[int, ...]:
        self.at += 4 * count
        return struct.unpack_from(f"<{count}i", self.data, self.at - 4 * count)

    def floats(self, *shape: int) -> np.ndarray:
        count = int(np.prod(shape))
        self.at += 4 * count
        return np.frombuffer(self.data, "<f4", count, self.at - 4 * count).reshape(shape).astype(np.float64)

    def layer(self, kind: int) -> None:
        (found,) = self.integers(1)
        assert found == kind
        self.at += 64

    def convolve(self, x: np.ndarray) -> np.ndarray:
        """`(frames, inputs)` to `(frames - kernel + 1, outputs)`."""
        self.layer(1)
        _, biased, inputs, outputs, kernel = self.integers(5)
        weight = self.floats(outputs, inputs, kernel)
        bias = self.floats(outputs) if biased else 0.0
        frames = range(len(x) - kernel + 1)
        return np.array([np.einsum("oik,ki->o", weight, x[t : t + kernel]) for t in frames]) + bias

    def normalise(self, x: np.ndarray) -> np.ndarray:
        self.layer(3)
        _, channels = self.integers(2)
        epsilon = self.floats(1)
        weight, bias, mean, variance = (self.floats(channels) for _ in range(4))
        return (x - mean) / np.sqrt(variance + epsilon) * weight + bias


def test_the_conditioning_is_that_of_the_file(path: Path, model: ModelFiles) -> None:
    """Residual network and upsampling, against the file's own layers run one by one."""
    mels = np.random.default_rng(0).standard_normal((6, 80))
    padded = np.pad(mels, ((2, 2), (0, 0)))
    file = Bytes(path.read_bytes())
    blocks, stages, hop, padding = file.integers(4)
    assert (blocks, stages, hop, padding) == (3, 3, 200, 2)
    x = np.maximum(file.normalise(file.convolve(padded)), 0)
    for _ in range(blocks):
        inner = np.maximum(file.normalise(file.convolve(x)), 0)
        x = x + file.normalise(file.convolve(inner))
    auxiliary = file.convolve(x)
    file.layer(6)
    assert file.integers(2) == (200, 1)
    scales, filters = [], []
    for _ in range(stages):
        file.layer(6)
        scales.append(file.integers(2)[0])
        file.layer(2)
        filters.append(file.floats(file.integers(2)[1]))
    assert scales == [4, 5, 10]
    literal = upsample(padded, scales, filters, 2)

    taps = model.weights["upsample.taps"].astype(np.float64)
    found = [taps[t % hop] @ padded[t // hop : t // hop + 5][::-1] for t in range(6 * hop)]
    np.testing.assert_allclose(found, literal, atol=1e-6 * np.abs(literal).max())

    weights = {name: data.astype(np.float64) for name, data in model.weights.items()}

    def linear(name: str, x: np.ndarray) -> np.ndarray:
        return weights[f"{name}.weight"] @ x + weights[f"{name}.bias"]

    for frame in range(6):
        x = np.maximum(linear("residual.first", padded[frame : frame + 5].reshape(-1)), 0)
        for i in range(blocks):
            name = f"residual.blocks.{i}"
            x = x + linear(f"{name}.second", np.maximum(linear(f"{name}.first", x), 0))
        np.testing.assert_allclose(linear("residual.last", x), auxiliary[frame], atol=1e-5 * np.abs(auxiliary).max())


def test_the_recording_is_likely(path: Path, model: ModelFiles) -> None:
    """Teacher-forced on its own recording, the network beats the best fixed distribution of these very samples."""
    import soundfile

    recording, rate = soundfile.read(path.with_name("mel-northandsouth_52_f000076.wav"))
    assert rate == 16000
    mel = np.load(path.with_name("mel-northandsouth_52_f000076.npy"))
    mel = mel if mel.shape[1] == 80 else mel.T
    frames, start = 6, 60
    labels = np.clip(np.rint((recording + 1) / 2 * 1023), 0, 1023)[start * 200 : (start + frames) * 200]
    reference = Reference(model.family.step("test", model.network, model.weights))
    reference.prime({"features": mel[start - 2 : start + 2]})
    run = reference.run(frames * 200, {"features": mel[start + 2 : start + 2 + frames]}, labels[:, None])
    logits = run.parameters["sample"][:, 0]
    likely = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    nll = -likely[np.arange(len(labels)), labels.astype(int)][400:].mean()  # after the state has settled
    histogram = np.bincount(labels.astype(int), minlength=1024)[labels.astype(int)] / len(labels)
    assert nll < -np.log(histogram).mean() - 0.5  # nats a sample
