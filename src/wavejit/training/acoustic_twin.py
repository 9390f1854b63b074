"""The PyTorch twin of `acoustic/networks.py`: whole sentences at once."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from wavejit.acoustic.networks import AcousticNetwork


class AcousticTwin(nn.Module):
    """An acoustic model in training; mel bins are predicted as `(bins - mean) / scale`."""

    mean: Tensor
    scale: Tensor

    def __init__(self, network: AcousticNetwork, mean: NDArray[np.float32], scale: NDArray[np.float32]) -> None:
        super().__init__()
        n = self.network = network
        self.register_buffer("mean", torch.from_numpy(mean))
        self.register_buffer("scale", torch.from_numpy(scale))
        self.read_dense = nn.Linear(n.symbols, n.reader)
        self.read = nn.GRU(n.reader, n.reader, batch_first=True, bidirectional=True)
        self.prosody_dense = nn.Linear(n.reading, n.prosody)
        self.prosody_out = nn.Linear(n.prosody, n.prosodic)
        self.decode_dense = nn.Linear(n.framed, n.decoder)
        self.decode_first = nn.GRU(n.decoder, n.decoder, batch_first=True)
        self.decode_second = nn.GRU(n.decoder, n.decoder, batch_first=True)
        self.decode_out = nn.Linear(2 * n.decoder, n.bins)
        self.drop = nn.Dropout(0.1)

    def reading(self, rows: Tensor, lengths: Tensor) -> Tensor:
        """`(sentences, phonemes, symbols)` to `(sentences, phonemes, reading)`; `lengths` in phonemes."""
        x = self.drop(torch.relu(self.read_dense(rows)))
        packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
        return self.drop(pad_packed_sequence(self.read(packed)[0], batch_first=True)[0])

    def prosody(self, reading: Tensor) -> Tensor:
        """`(..., prosodic)` of each phoneme."""
        return self.prosody_out(self.drop(torch.relu(self.prosody_dense(reading))))

    def decode(self, rows: Tensor) -> Tensor:
        """`(sentences, frames, framed)` to normalised bins `(sentences, frames, bins)`."""
        x = self.drop(torch.relu(self.decode_dense(rows)))
        first = self.decode_first(x)[0]
        second = self.decode_second(first)[0]
        return self.decode_out(torch.cat([second, first], -1))

    def weights(self) -> dict[str, NDArray[np.float32]]:
        """The weights by the names of `acoustic/networks.py`, the bins' mean and scale taken in."""
        state = {name: value.detach().double().cpu().numpy() for name, value in self.state_dict().items()}
        scale = state["scale"]
        weights = {
            "decode.out.weight": state["decode_out.weight"] * scale[:, None],
            "decode.out.bias": state["decode_out.bias"] * scale + state["mean"],
        }
        for ours, theirs in (
            ("read.dense", "read_dense"), ("prosody.dense", "prosody_dense"),
            ("prosody.out", "prosody_out"), ("decode.dense", "decode_dense"),
        ):  # fmt: skip
            weights |= {f"{ours}.{part}": state[f"{theirs}.{part}"] for part in ("weight", "bias")}
        for ours, theirs, end in (
            ("read.forward", "read", "_l0"), ("read.backward", "read", "_l0_reverse"),
            ("decode.first", "decode_first", "_l0"), ("decode.second", "decode_second", "_l0"),
        ):  # fmt: skip
            for part, source in (("recurrent", "hh"), ("inputs", "ih")):
                weights |= {
                    f"{ours}.{part}.{kind}": state[f"{theirs}.{kind}_{source}{end}"] for kind in ("weight", "bias")
                }
        return {name: np.ascontiguousarray(value, np.float32) for name, value in weights.items()}
