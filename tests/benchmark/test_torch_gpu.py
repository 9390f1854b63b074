"""PyTorch's ways on a GPU, as far as a CPU runs them."""

from __future__ import annotations

import numpy as np
import pytest

from wavejit.models.wavenet import FAMILY as WAVENET
from wavejit.models.wavenet import WaveNet
from wavejit.models.wavernn import FAMILY as WAVERNN
from wavejit.models.wavernn import WaveRNN

torch = pytest.importorskip("torch", reason="needs PyTorch")

SMALL_WAVENET = WaveNet(sample_rate=16000, layers=2, residual_channels=8, skip_channels=16)
SMALL_WAVERNN = WaveRNN(sample_rate=16000, width=16)


def test_a_wavenet_that_was_moved_runs_as_before() -> None:
    from wavejit.benchmark.peers.torch_gpu import moved, samples_per_second
    from wavejit.benchmark.peers.torch_peer import WaveNetModule

    weights = WAVENET.random_weights(SMALL_WAVENET)
    forced = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (20, 1)))
    plain, other = WaveNetModule(SMALL_WAVENET, weights), WaveNetModule(SMALL_WAVENET, weights)
    moved(other, "cpu")
    with torch.no_grad():
        assert torch.equal(plain(20, forced)[1], other(20, forced)[1])
    assert samples_per_second(SMALL_WAVENET, weights, "eager", 0.2, "cpu") > 0


def test_a_wavernn_that_was_moved_runs_as_before() -> None:
    from wavejit.benchmark.peers.torch_gpu import moved, samples_per_second
    from wavejit.benchmark.peers.torch_peer import WaveRNNModule

    weights = WAVERNN.random_weights(SMALL_WAVERNN)
    forced = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (20, 2)))
    plain, other = WaveRNNModule(SMALL_WAVERNN, weights), WaveRNNModule(SMALL_WAVERNN, weights)
    moved(other, "cpu")
    with torch.no_grad():
        assert torch.equal(plain(20, forced)[1], other(20, forced)[1])
    assert samples_per_second(SMALL_WAVERNN, weights, "eager", 0.2, "cpu") > 0
