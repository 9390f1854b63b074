"""The peers in PyTorch: one module for each family, run eagerly, and compiled by torch.jit.script.

The loop over samples stands in `forward`, so that a scripted module runs without Python. Sampled classes stay
tensors: nothing waits for a number to come back to Python.
"""

from __future__ import annotations

import warnings
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from wavejit.benchmark.peers.networks import Classes, Floats, Runner, WaveNetArrays, WaveRNNArrays
from wavejit.models.family import Weights
from wavejit.models.wavenet import WaveNet
from wavejit.models.wavernn import WaveRNN


class WaveNetModule(nn.Module):
    """WaveNet, its delay lines and its last two classes; attributes as in `WaveNetArrays`."""

    def __init__(self, n: WaveNet, weights: Weights) -> None:
        super().__init__()
        a = WaveNetArrays(n, weights)
        self.embed_previous, self.embed_current = (
            torch.tensor(a.embed_previous),
            torch.tensor(a.embed_current),
        )
        self.previous, self.bias = torch.tensor(a.previous), torch.tensor(a.bias)[:, :, None]
        self.current = list(torch.tensor(a.current).unbind())
        self.residual = list(torch.tensor(a.residual).unbind())
        self.residual_bias = list(torch.tensor(a.residual_bias).unbind())
        self.skip, self.skip_bias = torch.tensor(a.skip), torch.tensor(a.skip_bias)
        self.head, self.head_bias = torch.tensor(a.head), torch.tensor(a.head_bias)
        self.out, self.out_bias = torch.tensor(a.out), torch.tensor(a.out_bias)
        self.dilations, self.starts = torch.tensor(a.dilations), torch.tensor(a.starts)
        self.silence = n.classes // 2
        self.reset()

    @torch.jit.export
    def reset(self) -> None:
        self.lines = torch.zeros(int(self.dilations.sum()), self.embed_current.shape[1])
        self.before_last = torch.full((1,), self.silence)
        self.last = self.before_last
        self.tick = 0

    def forward(self, ticks: int, forced: Tensor) -> tuple[Tensor, Tensor]:
        """Run `ticks` samples, drawing where `forced` is empty; returns what `Runner.run` does."""
        drawn: list[Tensor] = []
        kept: list[Tensor] = []
        is_forced = len(forced) > 0
        embed_previous, embed_current = self.embed_previous, self.embed_current
        previous, bias = self.previous, self.bias
        current, residual, residual_bias = self.current, self.residual, self.residual_bias
        r = self.embed_current.shape[1]
        lines, last, before_last = self.lines, self.last, self.before_last
        for t in range(ticks):
            rows = self.starts + torch.remainder(self.tick, self.dilations)
            # What the previous taps and the biases give each layer, (L, 2r): known before the first layer runs.
            sums = torch.baddbmm(bias, previous, lines.index_select(0, rows).unsqueeze(2)).squeeze(2)
            totals, filtered, gates = sums.unbind(), sums[:, :r].unbind(), sums[:, r:].unbind()
            x = torch.tanh(embed_previous.index_select(0, before_last) + embed_current.index_select(0, last)).squeeze(0)
            inputs: list[Tensor] = []
            outputs: list[Tensor] = []
            for i in range(len(current)):
                inputs.append(x)
                totals[i].addmv_(current[i], x)
                h = filtered[i].tanh_().mul_(gates[i].sigmoid_())
                outputs.append(h)
                x = (x + residual_bias[i]).addmv_(residual[i], h)
            lines.index_copy_(0, rows, torch.stack(inputs))
            self.tick += 1
            skips = torch.addmv(self.skip_bias, self.skip, torch.cat(outputs))
            z = torch.addmv(self.head_bias, self.head, torch.relu(skips))
            logits = torch.addmv(self.out_bias, self.out, torch.relu(z))
            before_last = last
            if is_forced:
                kept.append(logits)
                last = forced[t]
            else:
                last = draw(logits)
            drawn.append(last)
        self.last, self.before_last = last, before_last
        return torch.stack(drawn), torch.stack(kept).unsqueeze(1) if is_forced else torch.empty(0)


class WaveRNNModule(nn.Module):
    """WaveRNN, its state and its last two bytes; attributes as in `WaveRNNArrays`."""

    def __init__(self, n: WaveRNN, weights: Weights) -> None:
        super().__init__()
        a = WaveRNNArrays(n, weights)
        self.recurrent = by_columns(a.recurrent)
        self.inputs, self.bias = torch.tensor(a.inputs), torch.tensor(a.bias)
        self.inputs_coarse = torch.tensor(a.inputs_coarse)
        self.hidden, self.hidden_bias = [*map(by_columns, a.hidden)], [*map(torch.tensor, a.hidden_bias)]
        self.out, self.out_bias = [*map(by_columns, a.out)], [*map(torch.tensor, a.out_bias)]
        self.width = n.width
        self.reset()

    @torch.jit.export
    def reset(self) -> None:
        self.h = torch.zeros(self.width)
        self.last = torch.tensor([128, 0])

    def forward(self, ticks: int, forced: Tensor) -> tuple[Tensor, Tensor]:
        """Run `ticks` samples, drawing where `forced` is empty; returns what `Runner.run` does."""
        drawn: list[Tensor] = []
        kept: list[Tensor] = []
        is_forced = len(forced) > 0
        h, last = self.h, self.last
        for t in range(ticks):
            recurrent_c, recurrent_f = torch.mv(self.recurrent, h).chunk(2)
            inputs_c, inputs_f = torch.addmv(self.bias, self.inputs, last / 127.5 - 1).chunk(2)
            h_c, h_f = h.chunk(2)

            y_c = self.gated_update(recurrent_c, inputs_c, h_c)
            logits_c = self.logits(0, y_c)
            coarse = forced[t, :1] if is_forced else draw(logits_c)

            inputs_f = torch.addcmul(inputs_f, self.inputs_coarse, coarse / 127.5 - 1)
            y_f = self.gated_update(recurrent_f, inputs_f, h_f)
            logits_f = self.logits(1, y_f)
            fine = forced[t, 1:] if is_forced else draw(logits_f)

            h, last = torch.cat((y_c, y_f)), torch.cat((coarse, fine))
            drawn.append(last)
            if is_forced:
                kept.append(torch.stack((logits_c, logits_f)))
        self.h, self.last = h, last
        return torch.stack(drawn), torch.stack(kept) if is_forced else torch.empty(0)

    def gated_update(self, recurrent: Tensor, inputs: Tensor, own: Tensor) -> Tensor:
        """The next state of one half, `(N / 2,)`, from its gates' sums in the order u, r, e."""
        n = len(own)
        u, r = torch.sigmoid(recurrent[: 2 * n] + inputs[: 2 * n]).chunk(2)
        e = torch.tanh(torch.addcmul(inputs[2 * n :], r, recurrent[2 * n :]))
        return torch.lerp(e, own, u)

    def logits(self, i: int, y: Tensor) -> Tensor:
        z = torch.addmv(self.hidden_bias[i], self.hidden[i], y)
        return torch.addmv(self.out_bias[i], self.out[i], z.relu_())


def draw(logits: Tensor) -> Tensor:
    """A class of the softmax of `logits`, `(1,)`, by its cumulative sum: faster than torch.multinomial."""
    cumulative = torch.softmax(logits, 0).cumsum(0)
    return torch.searchsorted(cumulative, cumulative[-1:] * torch.rand(1, device=logits.device))


def by_columns(weight: Floats) -> Tensor:
    """A weight stored column by column: PyTorch's product of a large matrix and a vector is faster so."""
    return torch.tensor(weight).t().contiguous().t()


class Eager(Runner[WaveNet | WaveRNN]):
    """Either network, as a user's module runs."""

    def __init__(self, network: WaveNet | WaveRNN, weights: Weights, threads: int) -> None:
        super().__init__(network, weights, threads)
        with torch.inference_mode():
            wavenet = isinstance(network, WaveNet)
            module = WaveNetModule(network, weights) if wavenet else WaveRNNModule(network, weights)
            self._module: Any = self._prepared(module.eval())

    def _prepared(self, module: nn.Module) -> nn.Module:
        return module

    @contextmanager
    def limited(self) -> Generator[None, None, None]:
        before = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)

    def reset(self) -> None:
        with torch.inference_mode():
            self._module.reset()

    def run(self, ticks: int, forced: Classes | None = None) -> tuple[Classes, Floats]:
        with torch.inference_mode():
            given = torch.empty((0, 0), dtype=torch.int64) if forced is None else torch.from_numpy(forced)
            drawn, logits = self._module(ticks, given)
        return drawn.numpy(), logits.numpy()


class Scripted(Eager):
    """Either network, compiled by torch.jit.script with the loop over samples inside."""

    def _prepared(self, module: nn.Module) -> nn.Module:
        with warnings.catch_warnings():
            # PyTorch advises against it by now; it is measured because it is in use.
            warnings.filterwarnings("ignore", "`torch.jit", DeprecationWarning)
            return torch.jit.script(module)


EAGER = {"wavenet": Eager, "wavernn": Eager}
SCRIPTED = {"wavenet": Scripted, "wavernn": Scripted}
