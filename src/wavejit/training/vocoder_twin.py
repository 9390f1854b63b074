"""The PyTorch twin of `models/mel_wavegru.py`: the same equations over many steps of many streams at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from wavejit.models.mel_wavegru import LOG_LEVEL_MIN, LOG_SCALE_MIN, LOUDEST, MelWaveGRU, predictor
from wavejit.training.gru import GRU


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
        self.reflections = nn.Linear(n.conditioning_width, n.order * n.bands)
        self.levels = nn.Linear(n.conditioning_width, 2 * n.bands)
        self.from_past = nn.Linear(n.past, 3 * n.width, bias=False)
        self.from_conditioning = nn.Linear(n.conditioning_width, 3 * n.width)
        self.gru = GRU(n.width)
        self.dense = nn.Linear(n.width + n.past, n.dense)
        self.out = nn.Linear(n.dense, n.bands * n.parameters)
        with torch.no_grad():
            self.levels.bias.fill_(-4.0)
            self.out.weight *= 0.1
            parts = self.out.bias.view(n.bands, 3, n.components)
            parts[:, 0] = 0.0
            parts[:, 1] = torch.linspace(-0.5, 0.5, n.components)
            parts[:, 2] = -1.0

    def forward(self, frames: Tensor, heard: Tensor, lags: Tensor, first: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Parameters of every draw, the state after them, and how badly bands are predicted.

        The predictors learn from their own errors alone: what the network makes of an excitation does not change what
        is called one.

        Args:
            frames, heard, lags: as a `Batch` has them.
            first: the state before, `(batch, width)`.

        Returns:
            `(steps, batch, bands, 3, components)`, `(batch, width)`, and `()`: the predictors' loss.
        """
        n = self.network
        x = (frames - self.mean) / self.scale
        x = torch.cat([x[i : len(x) - n.context + 1 + i] for i in range(n.context)], -1)
        for layer in self.conditioning:
            x = torch.relu(layer(x))
        with torch.autocast(x.device.type, enabled=False):  # an error of bfloat16 is as large as many an excitation
            predicted, excitation, scales, loss = self.predict(x.float(), heard)
        chunk = len(lags)
        steps_a_frame = n.hop_length // n.bands
        steps = chunk * steps_a_frame
        log_level, log_loudness = (value[-chunk:].repeat_interleave(steps_a_frame, 0) for value in scales)
        predicted = predicted[-steps:]
        seen = [heard[len(heard) - steps - ago :][:steps] for ago in range(1, n.history + 1)]
        normalised = [x * torch.exp(-log_loudness) for x in (predicted, *seen)]
        past = torch.cat([self.excitations(excitation, lags), *normalised], -1).clamp(-LOUDEST, LOUDEST)

        held = self.from_conditioning(x[-chunk:])  # (frames, batch, gates)
        gates = self.from_past(past)
        gates = (gates.view(chunk, steps_a_frame, *gates.shape[1:]) + held[:, None]).view_as(gates)
        states = self.gru(gates, first)
        hidden = torch.relu(self.dense(torch.cat([states, past.to(states.dtype)], -1)))
        parameters = self.out(hidden).float()
        logits, means, log_scales = parameters.view(*parameters.shape[:2], n.bands, 3, n.components).unbind(-2)
        means = predicted[..., None] + torch.exp(log_level)[..., None] * means
        return torch.stack([logits, means, log_scales + log_level[..., None]], -2), states[-1].detach(), loss

    def predict(self, x: Tensor, heard: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor], Tensor]:
        """Linear prediction of `heard` from the conditioning, `(frames, batch, width)`.

        Returns:
            What is predicted, and the rest in units of its level, `(steps, batch, bands)`; logarithms of level and
            loudness, `(frames, batch, bands)`; the loss.
        """
        n = self.network
        steps_a_frame = n.hop_length // n.bands
        reflections = torch.tanh(self.reflections(x)).view(*x.shape[:2], n.order, n.bands).unbind(-2)
        scales = self.levels(x).clamp(min=LOG_LEVEL_MIN).chunk(2, -1)
        log_level, log_loudness = (value.repeat_interleave(steps_a_frame, 0) for value in scales)
        coefficients = torch.stack(predictor(reflections)).repeat_interleave(steps_a_frame, 1)
        steps = len(log_level)
        predicted = sum_of_products(coefficients, [heard[n.order - 1 - i :][:steps] for i in range(n.order)])
        now = heard[n.order :]
        excitation = (now - predicted) * torch.exp(-log_level)
        loudness = now * torch.exp(-log_loudness)
        loss = (log_level + log_loudness + 0.5 * (excitation**2 + loudness**2)).mean()  # of Gaussians
        log_level, log_loudness = scales
        return predicted.detach(), excitation.detach(), (log_level.detach(), log_loudness.detach()), loss

    def excitations(self, excitation: Tensor, lags: Tensor) -> Tensor:
        """Those that each step of the chunk sees, `(steps, batch, (history + pitch taps) * bands)`."""
        n = self.network
        steps_a_frame = n.hop_length // n.bands
        steps, begin = len(lags) * steps_a_frame, len(excitation) - len(lags) * steps_a_frame
        just_now = [excitation[begin - ago :][:steps] for ago in range(1, n.history + 1)]
        times = torch.arange(begin, begin + steps, device=lags.device)[:, None, None]
        sources = times - lags.repeat_interleave(steps_a_frame, 0)  # (steps, batch, taps)
        streams = torch.arange(lags.shape[1], device=lags.device)[:, None]
        a_period_ago = excitation[sources, streams].flatten(-2)
        return torch.cat([*just_now, a_period_ago], -1)

    def weights(self) -> dict[str, NDArray[np.float32]]:
        """The family's weights but `silence`: what features were scaled by is taken into the layer that reads them."""
        n = self.network
        state = {name: value.detach().double().cpu().numpy() for name, value in self.state_dict().items()}
        scale, mean = np.tile(state.pop("scale"), n.context), np.tile(state.pop("mean"), n.context)
        first = state["conditioning.0.weight"] = state["conditioning.0.weight"] / scale
        state["conditioning.0.bias"] = state["conditioning.0.bias"] - first @ mean
        inputs = [state.pop("from_past.weight"), state.pop("from_conditioning.weight")]
        state["gru.inputs.weight"] = np.concatenate(inputs, 1)
        state["gru.inputs.bias"] = state.pop("from_conditioning.bias")
        state["gru.recurrent.weight"] = state.pop("gru.weight")
        state["gru.recurrent.bias"] = state.pop("gru.bias")
        return {name: np.ascontiguousarray(value, np.float32) for name, value in state.items()}

    def matrices(self) -> Mapping[str, Tensor]:
        """The weights that are worth pruning, by their family's names."""
        return {"gru.recurrent.weight": self.gru.weight, "dense.weight": self.dense.weight}


def sum_of_products(factors: Tensor, values: Sequence[Tensor]) -> Tensor:
    """`sum_i factors[i] * values[i]`."""
    found = factors[0] * values[0]
    for factor, value in zip(factors[1:], values[1:], strict=True):
        found = torch.addcmul(found, factor, value)
    return found


def negative_log_likelihood(parameters: Tensor, bands: Tensor) -> Tensor:
    """Nats a band's value, `(..., bands)`, of mixtures of logistics at `bands`, `(..., bands)`."""
    logits, means, log_scales = parameters.unbind(-2)
    log_scales = log_scales.clamp(min=LOG_SCALE_MIN)
    z = (bands[..., None] - means) * torch.exp(-log_scales)
    log_density = logsigmoid(z) + logsigmoid(-z) - log_scales
    return -torch.logsumexp(torch.log_softmax(logits, -1) + log_density, -1)
