"""WaveNet as a framework's user first samples from it: the whole receptive field anew for each sample.

In its favour, the skip connections and the head are worked out for the newest sample only, and features are
constant, so that their products are biases.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import conv1d, pad

from wavejit.benchmark.peers.networks import Classes, Floats, WaveNetArrays
from wavejit.benchmark.peers.torch_peer import draw
from wavejit.models.family import Weights
from wavejit.models.wavenet import WaveNet


class RedoneWaveNet:
    """A WaveNet by PyTorch's convolutions, on one thread, with no state but the classes drawn so far.

    Attributes:
        field: how many samples of its first layer one sample depends on.
    """

    def __init__(self, network: WaveNet, weights: Weights) -> None:
        a = WaveNetArrays(network, weights)
        self.field = 1 + int(a.dilations.sum())
        self._dilations = a.dilations.tolist()
        self._embed_previous, self._embed_current = torch.tensor(a.embed_previous), torch.tensor(a.embed_current)
        # A kernel of two taps for each layer, (L, 2r, r, 2), the earlier one first.
        self._kernels, self._bias = torch.tensor(np.stack([a.previous, a.current], axis=-1)), torch.tensor(a.bias)
        self._residual, self._residual_bias = torch.tensor(a.residual)[..., None], torch.tensor(a.residual_bias)
        self._skip, self._skip_bias = torch.tensor(a.skip), torch.tensor(a.skip_bias)
        self._head, self._head_bias = torch.tensor(a.head), torch.tensor(a.head_bias)
        self._out, self._out_bias = torch.tensor(a.out), torch.tensor(a.out_bias)
        self._silence = torch.full((2,), network.classes // 2)
        self._history = torch.cat([self._silence, torch.randint(network.classes, (self.field,))])

    def generate(self, samples: int) -> None:
        """Draw that many samples after a history that fills the receptive field."""
        with torch.inference_mode():
            for _ in range(samples):
                drawn = draw(self._logits(self._history))
                self._history = torch.cat([self._history[1:], drawn])

    def logits(self, forced: Classes, tick: int) -> Floats:
        """Logits of one tick from silence on, `(classes,)`; `forced`: the classes before it, `(at least tick,)`."""
        with torch.inference_mode():
            return self._logits(torch.cat([self._silence, torch.from_numpy(forced[:tick])])).numpy()

    def _logits(self, history: Tensor) -> Tensor:
        """Logits after `history`, `(n,)`, of which the receptive field is used."""
        seen = history[-self.field - 1 :]
        x = torch.tanh(self._embed_previous[seen[:-1]] + self._embed_current[seen[1:]]).t()
        newest: list[Tensor] = []
        for i, dilation in enumerate(self._dilations):
            sums = conv1d(pad(x, (dilation, 0)), self._kernels[i], self._bias[i], dilation=dilation)
            filtered, gate = sums.chunk(2)
            h = torch.tanh(filtered) * torch.sigmoid(gate)
            newest.append(h[:, -1])
            x = x + conv1d(h, self._residual[i], self._residual_bias[i])
        skips = torch.addmv(self._skip_bias, self._skip, torch.cat(newest))
        z = torch.addmv(self._head_bias, self._head, torch.relu(skips))
        return torch.addmv(self._out_bias, self._out, torch.relu(z))
