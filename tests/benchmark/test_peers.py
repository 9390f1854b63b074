"""Each peer runs the same network as the reference, and a missing or wrong one is named, never timed."""

import sys
from importlib import import_module
from unittest.mock import Mock

import numpy as np
import pytest

from wavejit.benchmark import peers
from wavejit.benchmark.peers import PEERS, TOLERANCE, disagreement, measure, reference_logits
from wavejit.benchmark.peers.networks import Runner
from wavejit.benchmark.peers.numpy_peer import NumpyWaveNet, draw
from wavejit.errors import InputError
from wavejit.models import FAMILIES
from wavejit.models.family import Network
from wavejit.models.wavenet import WaveNet
from wavejit.models.wavernn import WaveRNN

WAVENET = WaveNet(sample_rate=16000, layers=3, residual_channels=8, skip_channels=12, cycle=2)
NETWORKS: dict[str, tuple[str, WaveNet | WaveRNN]] = {
    "wavenet": ("wavenet", WAVENET),
    "wavenet, 40 classes, unconditional": (
        "wavenet",
        WaveNet(
            sample_rate=16000,
            layers=2,
            residual_channels=6,
            skip_channels=4,
            classes=40,
            conditioning_channels=0,
        ),
    ),
    "wavernn": ("wavernn", WaveRNN(sample_rate=24000, width=16)),
    "wavernn, conditioned": ("wavernn", WaveRNN(sample_rate=24000, width=10, conditioning_channels=5)),
}
WEIGHTS = FAMILIES["wavenet"].random_weights(WAVENET)


def runner(peer: str, family: str, network: Network) -> Runner:
    for package in PEERS[peer].packages:
        pytest.importorskip(package, reason=f"{peer} is measured where {package} is installed")
    return PEERS[peer].runner(family)(network, FAMILIES[family].random_weights(network), 1)


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize("name", NETWORKS)
def test_teacher_forced_logits_are_those_of_the_reference(peer: str, name: str) -> None:
    family, network = NETWORKS[name]
    runs = runner(peer, family, network)
    forced, expected = reference_logits(family, network, FAMILIES[family].random_weights(network))
    assert disagreement(runs.logits(forced), expected) < 1e-5
    runs.generate(5)
    assert disagreement(runs.logits(forced), expected) < 1e-5  # from silence again, whatever ran before


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize("name", NETWORKS)
def test_generates_audio_from_classes_in_range(peer: str, name: str) -> None:
    family, network = NETWORKS[name]
    runs = runner(peer, family, network)
    audio = np.concatenate([runs.generate(300), runs.generate(1)])
    assert audio.shape == (301,)
    assert np.abs(audio).max() <= 1
    assert len(np.unique(audio)) > 10


@pytest.mark.parametrize("peer", PEERS)
def test_draws_follow_the_softmax(peer: str) -> None:
    weights = {name: np.zeros_like(data) for name, data in WEIGHTS.items()}
    weights["out.bias"] = np.full(256, -30, np.float32)
    weights["out.bias"][[0, 7, 255]] = np.log([0.2, 0.5, 0.3])
    runs = runner(peer, "wavenet", WAVENET).__class__(WAVENET, weights, 1)
    drawn = runs.run(3000)[0][:, 0]
    shares = [float(np.mean(drawn == which)) for which in (0, 7, 255)]
    assert shares == pytest.approx([0.2, 0.5, 0.3], abs=0.05)  # 5.5 standard deviations and more


def test_a_draw_stays_in_range_when_the_uniform_number_is_the_highest() -> None:
    rng = Mock(spec=np.random.Generator)
    rng.random.return_value = 1.0
    assert draw(np.zeros(40, np.float32), rng) == 39


def test_measure_times_the_installed_and_names_the_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("torch", "onnxruntime", "numba"):
        monkeypatch.setitem(sys.modules, package, None)
    rows = {row.name: row for row in measure("wavenet", WAVENET, WEIGHTS, seconds=0.02)}
    assert list(rows) == list(PEERS)
    assert rows["NumPy"].version == np.__version__
    assert (rows["NumPy"].samples_per_second or 0) > 0
    assert rows["NumPy"].note.startswith(PEERS["NumPy"].how)
    for name, package in {"PyTorch eager": "torch", "ONNX Runtime": "onnxruntime", "Numba": "numba"}.items():
        assert rows[name].samples_per_second is None
        assert rows[name].version == ""
        assert rows[name].note.startswith(f"not installed: pip install {package}")


def test_a_peer_that_disagrees_is_an_error_and_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(self: NumpyWaveNet, forced: np.ndarray) -> np.ndarray:
        return reference_logits("wavenet", WAVENET, WEIGHTS)[1] * (1 + 10 * TOLERANCE)

    def never(self: NumpyWaveNet, samples: int) -> np.ndarray:
        raise AssertionError("a wrong peer was timed")

    monkeypatch.setattr(peers, "PEERS", {"NumPy": PEERS["NumPy"]})
    monkeypatch.setattr(NumpyWaveNet, "logits", wrong)
    monkeypatch.setattr(NumpyWaveNet, "generate", never)
    (row,) = measure("wavenet", WAVENET, WEIGHTS, seconds=0.02)
    assert row.samples_per_second is None
    assert row.note.startswith("error: logits differ from the reference by")


def test_a_framework_that_fails_costs_only_its_own_row(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: NumpyWaveNet, forced: np.ndarray) -> np.ndarray:
        raise RuntimeError("no such kernel")

    monkeypatch.setattr(peers, "PEERS", {"NumPy": PEERS["NumPy"]})
    monkeypatch.setattr(NumpyWaveNet, "logits", broken)
    (row,) = measure("wavenet", WAVENET, WEIGHTS, seconds=0.02)
    assert (row.samples_per_second, row.note) == (None, "error: RuntimeError: no such kernel")


def test_a_family_without_peers_is_refused_by_name() -> None:
    with pytest.raises(InputError, match="--peers knows the families wavenet and wavernn, found samplernn"):
        measure("samplernn", WAVENET, WEIGHTS, seconds=0.02)


@pytest.mark.parametrize("logits", [np.full((2, 1, 4), np.nan), np.zeros((2, 4))])
def test_nan_and_another_shape_disagree(logits: np.ndarray) -> None:
    assert disagreement(logits, np.ones((2, 1, 4))) == np.inf


@pytest.mark.parametrize("peer", ["PyTorch eager", "PyTorch scripted"])
def test_threads_of_torch_are_as_before(peer: str) -> None:
    runs = runner(peer, "wavernn", NETWORKS["wavernn"][1])
    torch = import_module("torch")
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        with runs.limited():
            assert torch.get_num_threads() == 1
        runs.generate(2)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
