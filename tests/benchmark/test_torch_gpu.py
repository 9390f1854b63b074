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


@pytest.mark.parametrize("name", ["WaveNet", "WaveRNN"])
def test_a_network_that_was_moved_runs_as_before(name: str) -> None:
    from wavejit.benchmark.peers import torch_peer
    from wavejit.benchmark.peers.torch_gpu import moved, samples_per_second

    network, family, draws = (SMALL_WAVENET, WAVENET, 1) if name == "WaveNet" else (SMALL_WAVERNN, WAVERNN, 2)
    weights, module = family.random_weights(network), getattr(torch_peer, f"{name}Module")
    forced = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (20, draws)))
    plain, other = module(network, weights), module(network, weights)
    moved(other, "cpu")
    with torch.no_grad():
        assert torch.equal(plain(20, forced)[1], other(20, forced)[1])
    assert samples_per_second(network, weights, "eager", 0.2, "cpu") > 0
