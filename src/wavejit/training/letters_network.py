"""The twin of `wavejit.text.letters_to_sound` in PyTorch: the same equations, teacher-forced.

The decoder's first layer reads only the phonemes before, so that both layers run over whole words at once.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from wavejit.text.letters_to_sound import LETTERS
from wavejit.text.phonemes import PHONEMES

EMBEDDING = 64


class LettersNetwork(nn.Module):
    """Letters and the phonemes before, to scores of the next phoneme.

    Args:
        width: of each GRU layer, in each direction.
        dropout: share of values left out between layers.
    """

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.letters = nn.Embedding(len(LETTERS), EMBEDDING)
        self.phonemes = nn.Embedding(len(PHONEMES), EMBEDDING)
        self.encoder = nn.ModuleList(
            nn.GRU(size, width, batch_first=True, bidirectional=True) for size in (EMBEDDING, 2 * width)
        )
        self.decoder = nn.ModuleList(nn.GRU(size, width, batch_first=True) for size in (EMBEDDING, 3 * width))
        self.query = nn.Linear(width, 2 * width, bias=False)
        self.out = nn.Linear(3 * width, EMBEDDING)
        self.scores_bias = nn.Parameter(torch.zeros(len(PHONEMES)))
        self.dropout = nn.Dropout(dropout)
        nn.init.normal_(self.letters.weight, std=0.3)
        nn.init.normal_(self.phonemes.weight, std=0.3)

    def forward(self, letters: Tensor, before: Tensor) -> Tensor:
        """Scores `(words, phonemes, classes)`.

        Args:
            letters: `(words, letters)`; words of one length.
            before: `(words, phonemes)`, the phoneme before each, at first `START`.
        """
        memory, starts = self.letters(letters), []
        for layer in self.encoder:
            memory, last = layer(memory)
            memory = self.dropout(memory)
            starts.append(last[:1].contiguous())
        first, _ = self.decoder[0](self.phonemes(before), starts[0])
        weights = torch.softmax(self.query(first) @ memory.transpose(1, 2), dim=-1)
        context = weights @ memory
        second, _ = self.decoder[1](torch.cat((first, context), -1), starts[1])
        out = self.out(self.dropout(torch.cat((second, context), -1)))
        return out @ self.phonemes.weight.T + self.scores_bias

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """The weights by name, as `wavejit.text.letters_to_sound` takes them."""
        return {name: data.detach().float().numpy().copy() for name, data in self.state_dict().items()}
