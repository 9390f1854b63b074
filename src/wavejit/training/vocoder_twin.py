"""The PyTorch twin of `models/mel_wavegru.py`: the same equations over many steps of many streams at once."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from wavejit.models.mel_wavegru import LOG_SCALE_MIN, MelWaveGRU
from wavejit.training.gru import GRU

BAND_SCALE = 8.0  # brings bands of speech, which seldom leave ±0.1, to the size of the other inputs


class MelWaveGRUTwin(nn.Module):
    """A vocoder in training.

    Args:
        network: its sizes.
        mean, scale: of each channel of the features, `(channels,)`: the network sees `(features - mean) / scale`.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, network: MelWaveGRU, mean: NDArray[np.float32], scale: NDArray[np.float32]) -> None:
        super().__init__()
        n = self.network = network
        self.register_buffer("mean", torch.from_numpy(mean))
        self.register_buffer("scale", torch.from_numpy(scale))
        self.conditioning = nn.ModuleList(
            [
                nn.Linear(n.context * n.channels, n.conditioning_width),
                nn.Linear(n.conditioning_width, n.conditioning_width),
            ]
        )
        self.from_past = nn.Linear(n.past, 3 * n.width, bias=False)
        self.from_conditioning = nn.Linear(n.conditioning_width, 3 * n.width)
        self.gru = GRU(n.width)
        self.dense = nn.Linear(n.width + n.past, n.dense)
        self.out = nn.Linear(n.dense, n.bands * n.parameters)
        with torch.no_grad():
            self.out.weight *= 0.1
            parts = self.out.bias.view(n.bands, 3, n.components)
            parts[:, 0] = 0.0
            parts[:, 1] = torch.linspace(-0.02, 0.02, n.components)
            parts[:, 2] = -4.0

    def forward(self, frames: Tensor, past: Tensor, first: Tensor) -> tuple[Tensor, Tensor]:
        """Parameters of every draw, and the state after them.

        Args:
            frames: `(frames + context - 1, batch, channels)`.
            past: bands before and a period before each step, `(steps, batch, past)`, as `past_of_steps` orders them.
            first: the state before, `(batch, width)`.

        Returns:
            `(steps, batch, bands, 3, components)` and `(batch, width)`.
        """
        n = self.network
        x = (frames - self.mean) / self.scale
        x = torch.cat([x[i : len(x) - n.context + 1 + i] for i in range(n.context)], -1)
        for layer in self.conditioning:
            x = torch.relu(layer(x))
        held = self.from_conditioning(x)  # (frames, batch, gates)
        scaled = past * BAND_SCALE
        gates = self.from_past(scaled)
        steps_a_frame = len(gates) // len(held)
        gates = (gates.view(len(held), steps_a_frame, *gates.shape[1:]) + held[:, None]).view_as(gates)
        states = self.gru(gates, first)
        hidden = torch.relu(self.dense(torch.cat([states, scaled.to(states.dtype)], -1)))
        parameters = self.out(hidden).float()
        return parameters.view(*parameters.shape[:2], n.bands, 3, n.components), states[-1].detach()

    def weights(self) -> dict[str, NDArray[np.float32]]:
        """The weights of the family: what the inputs were scaled by is taken into the layers that read them."""
        n = self.network
        state = {name: value.detach().double().cpu().numpy() for name, value in self.state_dict().items()}
        scale, mean = np.tile(state["scale"], n.context), np.tile(state["mean"], n.context)
        first = state["conditioning.0.weight"] / scale
        state["conditioning.0.weight"] = first
        state["conditioning.0.bias"] = state["conditioning.0.bias"] - first @ mean
        dense = state["dense.weight"]
        dense[:, n.width :] *= BAND_SCALE
        inputs = [state["from_past.weight"] * BAND_SCALE, state["from_conditioning.weight"]]
        weights = {
            "conditioning.0.weight": first,
            "conditioning.0.bias": state["conditioning.0.bias"],
            "conditioning.1.weight": state["conditioning.1.weight"],
            "conditioning.1.bias": state["conditioning.1.bias"],
            "gru.inputs.weight": np.concatenate(inputs, 1),
            "gru.inputs.bias": state["from_conditioning.bias"],
            "gru.recurrent.weight": state["gru.weight"],
            "gru.recurrent.bias": state["gru.bias"],
            "dense.weight": dense,
            "dense.bias": state["dense.bias"],
            "out.weight": state["out.weight"],
            "out.bias": state["out.bias"],
        }
        return {name: np.ascontiguousarray(value, np.float32) for name, value in weights.items()}

    def matrices(self) -> Mapping[str, Tensor]:
        """The weights that are worth pruning, by their family's names."""
        return {"gru.recurrent.weight": self.gru.weight, "dense.weight": self.dense.weight}


def negative_log_likelihood(parameters: Tensor, bands: Tensor) -> Tensor:
    """Nats a band's value, `(..., bands)`, of mixtures of logistics at `bands`, `(..., bands)`."""
    logits, means, log_scales = parameters.unbind(-2)
    log_scales = log_scales.clamp(min=LOG_SCALE_MIN)
    z = (bands[..., None] - means) * torch.exp(-log_scales)
    log_density = logsigmoid(z) + logsigmoid(-z) - log_scales
    return -torch.logsumexp(torch.log_softmax(logits, -1) + log_density, -1)
