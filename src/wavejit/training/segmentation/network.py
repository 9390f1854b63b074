"""The network that hears pairs of phonemes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from wavejit.training.mfcc import COEFFICIENTS
from wavejit.training.segmentation.pairs import SYMBOLS


@dataclass(frozen=True)
class PairNetworkSizes:
    """Sizes; Deep Voice has `layers` 3 and `width` 512, which is more than a CPU trains in an hour.

    Attributes:
        channels: of the two convolutions.
        layers: of bidirectional GRUs.
        width: of a GRU in one direction.
        dropout: between layers, in [0, 1).
    """

    channels: int = 16
    layers: int = 2
    width: int = 128
    dropout: float = 0.1


class PairNetwork(nn.Module):
    """Two convolutions over time and frequency, bidirectional GRUs, and the probabilities of blank and pairs.

    A pair's probability is that of no blank, times that of its first phoneme, times that of its second: 81 outputs
    instead of 1,601, so that pairs which training has seen once or never are known by their halves. Deep Voice has
    an output for each pair, and 20 hours of speech to learn them from.

    Source: Arik et al. 2017, Deep Voice, section 4.2: convolutions of 9 coefficients by 5 frames.
    """

    def __init__(self, sizes: PairNetworkSizes) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(1, sizes.channels, (5, 9), padding=(2, 4)),
            nn.ReLU(),
            nn.Conv2d(sizes.channels, sizes.channels, (5, 9), padding=(2, 4), stride=(1, 2)),
            nn.ReLU(),
        )
        heard = sizes.channels * COEFFICIENTS // 2
        self.norm = nn.LayerNorm(heard)
        dropout = sizes.dropout if sizes.layers > 1 else 0.0  # torch has it between layers only
        self.gru = nn.GRU(heard, sizes.width, sizes.layers, batch_first=True, bidirectional=True, dropout=dropout)
        self.outputs = nn.Linear(2 * sizes.width, 1 + 2 * len(SYMBOLS))

    def forward(self, mfcc: Tensor) -> Tensor:
        """Log probabilities `(batch, frames, classes)` from coefficients `(batch, frames, 20)`."""
        x = self.convolutions(mfcc[:, None])
        x = self.norm(x.transpose(1, 2).flatten(2))
        logits = self.outputs(self.gru(x)[0])
        blank, first, second = logits.split([1, len(SYMBOLS), len(SYMBOLS)], dim=-1)
        either = nn.functional.logsigmoid(-blank)[..., None] + first.log_softmax(-1)[..., None]
        pairs = (either + second.log_softmax(-1)[..., None, :]).flatten(2)
        return torch.cat([nn.functional.logsigmoid(blank), pairs], dim=-1)
