"""The peers in NumPy: float32, products by its BLAS, results written into arrays that are kept."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import numpy as np

from wavejit.benchmark.peers.networks import (
    Classes,
    Floats,
    Runner,
    SomeNetwork,
    WaveNetArrays,
    WaveRNNArrays,
)
from wavejit.models.family import Weights
from wavejit.models.wavenet import WaveNet
from wavejit.models.wavernn import WaveRNN

HALF, ONE = np.float32(0.5), np.float32(1)  # a Python float costs a conversion each time


try:
    import threadpoolctl
except ModuleNotFoundError:
    threadpoolctl = None  # NumPy itself cannot say how many threads its BLAS uses


class NumpyRunner(Runner[SomeNetwork]):
    """Either network; its BLAS is limited to the threads allowed where threadpoolctl is installed."""

    remark = "" if threadpoolctl else "Its threads are not limited: pip install threadpoolctl."

    def limited(self) -> AbstractContextManager[object]:
        return nullcontext() if threadpoolctl is None else threadpoolctl.threadpool_limits(self.threads, "blas")


class NumpyWaveNet(NumpyRunner[WaveNet]):
    """WaveNet; all previous taps in one batched product, all skip connections in one product."""

    def __init__(self, network: WaveNet, weights: Weights, threads: int) -> None:
        super().__init__(network, weights, threads)
        self._a = WaveNetArrays(network, weights)
        self._rng = np.random.default_rng(0)
        self._product = np.empty(2 * network.residual_channels, np.float32)
        self._step = np.empty(network.residual_channels, np.float32)
        self.reset()

    def reset(self) -> None:
        self._lines, self._tick = self._a.delay_lines(), 0
        self._before_last = self._last = self.network.classes // 2

    def run(self, ticks: int, forced: Classes | None = None) -> tuple[Classes, Floats]:
        drawn = np.empty((ticks, 1), np.int64)
        logits = np.empty((0 if forced is None else ticks, 1, self.network.classes), np.float32)
        for t in range(ticks):
            now = self._logits()
            if forced is None:
                sample = draw(now, self._rng)
            else:
                logits[t, 0], sample = now, forced[t, 0]
            drawn[t, 0] = sample
            self._before_last, self._last = self._last, sample
        return drawn, logits

    def _logits(self) -> Floats:
        a, r = self._a, self.network.residual_channels
        rows = a.starts + self._tick % a.dilations
        # What the previous taps and the biases give each layer, (L, 2r): known before the first layer runs.
        sums = np.matmul(a.previous, self._lines[rows][:, :, None])[:, :, 0] + a.bias
        x = np.tanh(a.embed_previous[self._before_last] + a.embed_current[self._last])
        inputs, outputs = np.empty((len(sums), r), np.float32), np.empty((len(sums), r), np.float32)
        product, step = self._product, self._step
        layers = zip(a.current, sums, a.residual, a.residual_bias, inputs, outputs, strict=True)
        for current, total, residual, residual_bias, into, h in layers:
            into[:] = x
            total += np.dot(current, x, out=product)
            # One tanh for both halves: the sigmoid of the gate is (1 + tanh(gate / 2)) / 2.
            gate = total[r:]
            gate *= HALF
            np.tanh(total, out=total)
            gate += ONE
            np.multiply(total[:r], gate, out=h)
            h *= HALF
            x += np.dot(residual, h, out=step)
            x += residual_bias
        self._lines[rows] = inputs
        self._tick += 1
        skips = a.skip @ outputs.ravel() + a.skip_bias
        z = a.head @ np.maximum(skips, 0) + a.head_bias
        return a.out @ np.maximum(z, 0) + a.out_bias


class NumpyWaveRNN(NumpyRunner[WaveRNN]):
    """WaveRNN; both halves' recurrent products in one, as both need only the last state."""

    def __init__(self, network: WaveRNN, weights: Weights, threads: int) -> None:
        super().__init__(network, weights, threads)
        self._a = WaveRNNArrays(network, weights)
        self._rng = np.random.default_rng(0)
        self.reset()

    def reset(self) -> None:
        self._h = np.zeros(self.network.width, np.float32)
        self._last = (128, 0)

    def run(self, ticks: int, forced: Classes | None = None) -> tuple[Classes, Floats]:
        drawn = np.empty((ticks, 2), np.int64)
        logits = np.empty((0 if forced is None else ticks, 2, 256), np.float32)
        a, half = self._a, self.network.width // 2
        for t in range(ticks):
            recurrent = a.recurrent @ self._h
            inputs = a.inputs @ unit(*self._last) + a.bias
            y, pair = np.empty_like(self._h), [0, 0]
            for i in (0, 1):
                own, gates = slice(i * half, (i + 1) * half), slice(3 * i * half, 3 * (i + 1) * half)
                x = inputs[gates]
                if i:
                    x += a.inputs_coarse * np.float32(pair[0] / 127.5 - 1)
                y[own] = gated_update(recurrent[gates], x, self._h[own])
                now = a.out[i] @ np.maximum(a.hidden[i] @ y[own] + a.hidden_bias[i], 0) + a.out_bias[i]
                if forced is None:
                    pair[i] = draw(now, self._rng)
                else:
                    logits[t, i], pair[i] = now, forced[t, i]
            drawn[t] = pair
            self._h, self._last = y, (pair[0], pair[1])
        return drawn, logits


def gated_update(recurrent: Floats, inputs: Floats, own: Floats) -> Floats:
    """The next state of one half `(n,)` from its gates' sums, each `(3 n,)` in the order u, r, e."""
    n = len(own)
    u_r = sigmoid(recurrent[: 2 * n] + inputs[: 2 * n])
    e = np.tanh(u_r[n:] * recurrent[2 * n :] + inputs[2 * n :])
    return e + u_r[:n] * (own - e)


def sigmoid(x: Floats) -> Floats:
    """Elementwise, into `x`."""
    x *= HALF
    np.tanh(x, out=x)
    x += ONE
    x *= HALF
    return x


def unit(coarse: int, fine: int) -> Floats:
    """A sample's bytes in [-1, 1], `(2,)`."""
    return np.array([coarse / 127.5 - 1, fine / 127.5 - 1], np.float32)


def draw(logits: Floats, rng: np.random.Generator) -> int:
    """A class of the softmax of `logits`, `(classes,)`, by its cumulative sum."""
    cumulative = np.cumsum(np.exp(logits - logits.max()))
    return min(int(cumulative.searchsorted(rng.random() * cumulative[-1], side="right")), len(logits) - 1)


RUNNERS = {"wavenet": NumpyWaveNet, "wavernn": NumpyWaveRNN}
