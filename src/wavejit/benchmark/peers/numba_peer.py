"""The peers in Numba: the whole loop compiled, products as loops along the rows, which LLVM vectorises."""

from __future__ import annotations

import math

import numba
import numpy as np

from wavejit.benchmark.peers.networks import Classes, Floats, Runner, WaveNetArrays, WaveRNNArrays
from wavejit.models.family import Weights
from wavejit.models.wavenet import WaveNet
from wavejit.models.wavernn import WaveRNN

# Sums may be reordered, or no product would be vectorised; infinities keep their meaning, for exp overflows.
njit = numba.njit(fastmath={"reassoc", "contract", "arcp", "nsz"}, nogil=True)
ONE, TWO = np.float32(1), np.float32(2)  # a Python float would make float64 of all it meets


@njit
def plain_tanh(x):
    """As one writes it first: a call for each element."""
    return np.float32(math.tanh(x))


@njit
def tanh_by_exp(x):
    """For those who know that LLVM vectorises exp, but not tanh."""
    return TWO / (ONE + math.exp(-TWO * x)) - ONE


class NumbaWaveNet(Runner[WaveNet]):
    """WaveNet; its delay lines and last classes stay in arrays that the compiled loop changes."""

    tanh = staticmethod(plain_tanh)

    def __init__(self, network: WaveNet, weights: Weights, threads: int) -> None:
        super().__init__(network, weights, threads)
        self._a = WaveNetArrays(network, weights)
        self._rng = np.random.default_rng(0)
        self.reset()

    def reset(self) -> None:
        self._lines, self._tick = self._a.delay_lines(), 0
        self._last = np.full(2, self.network.classes // 2)

    def run(self, ticks: int, forced: Classes | None = None) -> tuple[Classes, Floats]:
        a, n = self._a, self.network
        drawn = np.empty((ticks, 1), np.int64)
        given = np.empty((0, 1), np.int64) if forced is None else forced
        logits = np.empty((len(given), 1, n.classes), np.float32)
        embedding, gates = (a.embed_previous, a.embed_current), (a.previous, a.current, a.bias)
        layers = (a.residual, a.residual_bias, a.dilations, a.starts)
        head = (a.skip, a.skip_bias, a.head, a.head_bias, a.out, a.out_bias)
        wavenet(
            embedding,
            gates,
            layers,
            head,
            self._lines,
            self._last,
            self._tick,
            given,
            logits,
            drawn,
            self._rng,
            self.tanh,
        )
        self._tick += ticks
        return drawn, logits


class NumbaWaveRNN(Runner[WaveRNN]):
    """WaveRNN; its state and last bytes stay in arrays that the compiled loop changes."""

    tanh = staticmethod(plain_tanh)

    def __init__(self, network: WaveRNN, weights: Weights, threads: int) -> None:
        super().__init__(network, weights, threads)
        a = WaveRNNArrays(network, weights)
        self._gates = (a.recurrent, a.inputs, a.inputs_coarse, a.bias)
        self._head = (np.stack(a.hidden), np.stack(a.hidden_bias), np.stack(a.out), np.stack(a.out_bias))
        self._rng = np.random.default_rng(0)
        self.reset()

    def reset(self) -> None:
        self._h, self._last = np.zeros(self.network.width, np.float32), np.array([128, 0])

    def run(self, ticks: int, forced: Classes | None = None) -> tuple[Classes, Floats]:
        drawn = np.empty((ticks, 2), np.int64)
        given = np.empty((0, 2), np.int64) if forced is None else forced
        logits = np.empty((len(given), 2, 256), np.float32)
        wavernn(self._gates, self._head, self._h, self._last, given, logits, drawn, self._rng, self.tanh)
        return drawn, logits


@njit
def wavenet(embedding, gates, layers, head, lines, last, tick, forced, logits, drawn, rng, tanh):
    """Run `len(drawn)` samples; arguments as in `WaveNetArrays` and `Runner.run`; the last six are modified."""
    embed_previous, embed_current = embedding
    previous, current, bias = gates
    residual, residual_bias, dilations, starts = layers
    skip, skip_bias, head, head_bias, out, out_bias = head
    r = residual.shape[1]
    x, total = np.empty(r, np.float32), np.empty(2 * r, np.float32)
    outputs = np.empty(skip.shape[1], np.float32)
    skips, z, now = np.empty_like(skip_bias), np.empty_like(head_bias), np.empty_like(out_bias)
    for t in range(len(drawn)):
        for j in range(r):
            x[j] = tanh(embed_previous[last[0], j] + embed_current[last[1], j])
        for i in range(len(residual)):
            line = lines[starts[i] + (tick + t) % dilations[i]]
            for j in range(2 * r):
                total[j] = bias[i, j] + dot(previous[i, j], line) + dot(current[i, j], x)
            line[:] = x
            h = outputs[i * r : (i + 1) * r]
            for j in range(r):
                h[j] = tanh(total[j]) * sigmoid(total[r + j])
            for j in range(r):
                x[j] += residual_bias[i, j] + dot(residual[i, j], h)
        affine(skip, outputs, skip_bias, skips, True)
        affine(head, skips, head_bias, z, True)
        affine(out, z, out_bias, now, False)
        if len(forced):
            logits[t, 0] = now
        drawn[t, 0] = forced[t, 0] if len(forced) else draw(now, rng)
        last[0], last[1] = last[1], drawn[t, 0]


@njit
def wavernn(gates, head, h, last, forced, logits, drawn, rng, tanh):
    """Run `len(drawn)` samples; arguments as in `WaveRNNArrays` and `Runner.run`; h and the last four are modified."""
    recurrent, inputs, inputs_coarse, bias = gates
    hidden, hidden_bias, out, out_bias = head
    half = len(h) // 2
    byte = np.zeros(3, np.float32)
    by_state, by_input = np.empty_like(bias), np.empty_like(bias)
    z, now = np.empty(half, np.float32), np.empty(256, np.float32)
    for t in range(len(drawn)):
        byte[0], byte[1] = unit(last[0]), unit(last[1])
        for j in range(len(bias)):
            by_state[j] = dot(recurrent[j], h)
            by_input[j] = bias[j] + inputs[j, 0] * byte[0] + inputs[j, 1] * byte[1]
        for i in range(2):
            y, s, x = h[i * half : (i + 1) * half], by_state[3 * i * half :], by_input[3 * i * half :]
            if i == 1:
                for j in range(3 * half):
                    x[j] += inputs_coarse[j] * byte[2]
            for j in range(half):
                u = sigmoid(s[j] + x[j])
                e = tanh(sigmoid(s[half + j] + x[half + j]) * s[2 * half + j] + x[2 * half + j])
                y[j] = e + u * (y[j] - e)
            affine(hidden[i], y, hidden_bias[i], z, True)
            affine(out[i], z, out_bias[i], now, False)
            if len(forced):
                logits[t, i] = now
            last[i] = drawn[t, i] = forced[t, i] if len(forced) else draw(now, rng)
            byte[2] = unit(last[0])


@njit
def dot(row, x):
    """Of two `(n,)`."""
    total = np.float32(0)
    for j in range(len(x)):
        total += row[j] * x[j]
    return total


@njit
def affine(weight, x, bias, into, rectified):
    """`weight @ x + bias`, cut at 0 from below where `rectified`."""
    for i in range(len(into)):
        total = bias[i] + dot(weight[i], x)
        into[i] = max(total, np.float32(0)) if rectified else total


@njit
def sigmoid(x):
    """Of one number."""
    return ONE / (ONE + math.exp(-x))


@njit
def unit(byte):
    """A byte in [-1, 1]."""
    return np.float32(byte / 127.5 - 1)


@njit
def draw(logits, rng):
    """A class of the softmax of `logits`, `(classes,)`, by its cumulative sum; modifies them."""
    logits -= logits.max()
    total = np.float32(0)
    for i in range(len(logits)):
        logits[i] = math.exp(logits[i])
        total += logits[i]
    left = rng.random() * total
    for i in range(len(logits)):
        left -= logits[i]
        if left < 0:
            return i
    return len(logits) - 1


class NumbaWaveNetByExp(NumbaWaveNet):
    """The same with the faster tanh."""

    tanh = staticmethod(tanh_by_exp)


class NumbaWaveRNNByExp(NumbaWaveRNN):
    """The same with the faster tanh."""

    tanh = staticmethod(tanh_by_exp)


RUNNERS_BY_EXP = {"wavenet": NumbaWaveNetByExp, "wavernn": NumbaWaveRNNByExp}
RUNNERS = {"wavenet": NumbaWaveNet, "wavernn": NumbaWaveRNN}
