"""The peers in ONNX Runtime: one step a run call, on arrays that are bound once (IoBinding).

A step makes logits and draws from them, all in the graph, from uniform random numbers that NumPy gives. The
delay lines are NumPy's, between two runs: a graph that took and gave them whole would copy them.
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from wavejit.benchmark.peers.networks import Classes, Floats, Runner, WaveNetArrays, WaveRNNArrays
from wavejit.benchmark.peers.onnx_graph import NOTHING, Arrays, Graph
from wavejit.models.family import Weights
from wavejit.models.wavenet import WaveNet
from wavejit.models.wavernn import WaveRNN


class OnnxWaveNet(Runner[WaveNet]):
    """WaveNet: the previous taps of all layers go in, the inputs of all layers come out."""

    def __init__(self, network: WaveNet, weights: Weights, threads: int) -> None:
        super().__init__(network, weights, threads)
        self._a = WaveNetArrays(network, weights)
        self._rng = np.random.default_rng(0)
        layers, r = self._a.residual_bias.shape
        self._classes = np.zeros((2, 1), np.int64)  # the last but one, the last
        self._taps, self._inputs = np.zeros((layers, 1, r), np.float32), np.zeros((layers, r), np.float32)
        self._logits, self._drawn = np.zeros((1, network.classes), np.float32), np.zeros((1, 1), np.int64)
        self._uniform, self._given = np.zeros((1, 1), np.float32), np.full((1, 1), NOTHING)
        asked = {"uniform_sample": self._uniform, "given_sample": self._given}
        self._session = self._graph().session(
            {"classes": self._classes, "taps": self._taps} | asked,
            {"logits": self._logits, "inputs": self._inputs, "drawn_sample": self._drawn},
            threads,
        )
        self.reset()

    def _graph(self) -> Graph:
        g, a = Graph(), self._a
        products = g.node("MatMul", "taps", g.constant(a.previous.transpose(0, 2, 1)))
        sums = g.node("Add", products, g.constant(a.bias[:, None]))
        totals = g.split(len(a.bias), g.node("Squeeze", sums, g.constant(np.array([1]))), axis=0)
        before_last, last = g.split(2, "classes", axis=0)
        rows = [
            g.node("Gather", g.constant(table), g.node("Squeeze", index, g.constant(np.array([0]))))
            for table, index in ((a.embed_previous, before_last), (a.embed_current, last))
        ]
        x = g.node("Tanh", g.node("Add", *rows))
        inputs: list[str] = []
        outputs: list[str] = []
        for i, total in enumerate(totals):
            inputs.append(x)
            filtered, gate = g.split(2, g.affine(x, a.current[i], total), axis=1)
            outputs.append(g.node("Mul", g.node("Tanh", filtered), g.node("Sigmoid", gate)))
            x = g.node("Add", x, g.affine(outputs[-1], a.residual[i], a.residual_bias[i]))
        g.node("Concat", *inputs, axis=0, name="inputs")
        skips = g.node("Relu", g.affine(g.node("Concat", *outputs, axis=1), a.skip, a.skip_bias))
        z = g.node("Relu", g.affine(skips, a.head, a.head_bias))
        g.draw("sample", g.affine(z, a.out, a.out_bias, name="logits"), self.network.classes)
        return g

    def reset(self) -> None:
        self._lines, self._tick = self._a.delay_lines(), 0
        self._classes[:] = self.network.classes // 2

    def run(self, ticks: int, forced: Classes | None = None) -> tuple[Classes, Floats]:
        drawn, uniforms = np.empty((ticks, 1), np.int64), self._rng.random((ticks, 1, 1), np.float32)
        logits = np.empty((0 if forced is None else ticks, 1, self.network.classes), np.float32)
        given = np.full((ticks, 1), NOTHING) if forced is None else forced
        for t in range(ticks):
            rows = self._a.starts + self._tick % self._a.dilations
            self._taps[:, 0], self._uniform[:], self._given[:] = self._lines[rows], uniforms[t], given[t]
            self._session.run()
            self._lines[rows] = self._inputs
            self._tick += 1
            self._classes[0], self._classes[1] = self._classes[1], self._drawn[0]
            drawn[t] = self._drawn[0]
            if forced is not None:
                logits[t] = self._logits
        return drawn, logits


class OnnxWaveRNN(Runner[WaveRNN]):
    """WaveRNN: both halves and both draws in one graph; its state goes in and comes out."""

    def __init__(self, network: WaveRNN, weights: Weights, threads: int) -> None:
        super().__init__(network, weights, threads)
        self._rng = np.random.default_rng(0)
        self._h, self._next = (np.zeros((1, network.width), np.float32) for _ in (0, 1))
        self._last = np.zeros((1, 2), np.int64)
        self._logits, self._drawn = np.zeros((2, 256), np.float32), np.zeros((1, 2), np.int64)
        self._uniform, self._given = np.zeros((2, 1, 1), np.float32), np.full((2, 1, 1), NOTHING)
        asked: Arrays = {}
        for i, byte in enumerate(("coarse", "fine")):
            asked |= {f"uniform_{byte}": self._uniform[i], f"given_{byte}": self._given[i]}
        self._session = _wavernn_graph(WaveRNNArrays(network, weights)).session(
            {"h": self._h, "last": self._last} | asked,
            {"next": self._next, "logits": self._logits, "drawn": self._drawn},
            threads,
        )
        self.reset()

    def reset(self) -> None:
        self._h[:], self._last[:] = 0, (128, 0)

    def run(self, ticks: int, forced: Classes | None = None) -> tuple[Classes, Floats]:
        drawn, uniforms = np.empty((ticks, 2), np.int64), self._rng.random((ticks, 2, 1, 1), np.float32)
        logits = np.empty((0 if forced is None else ticks, 2, 256), np.float32)
        given = np.full((ticks, 2), NOTHING) if forced is None else forced
        for t in range(ticks):
            self._uniform[:], self._given[:, 0, 0] = uniforms[t], given[t]
            self._session.run()
            self._h[:], self._last[:] = self._next, self._drawn
            drawn[t] = self._drawn[0]
            if forced is not None:
                logits[t] = self._logits
        return drawn, logits


def _wavernn_graph(a: WaveRNNArrays) -> Graph:
    g = Graph()

    def number(byte: str) -> str:
        return g.node("Cast", byte, to=TensorProto.FLOAT)

    # A byte b enters as b / 127.5 - 1: that much of the weights, and the rest in the bias.
    bias = a.bias - a.inputs.sum(axis=1)
    bias[len(bias) // 2 :] -= a.inputs_coarse
    recurrent = g.split(2, g.node("MatMul", "h", g.constant(a.recurrent.T)), axis=1)
    inputs = g.split(2, g.affine(number("last"), a.inputs / 127.5, bias), axis=1)
    own = g.split(2, "h", axis=1)
    states: list[str] = []
    logits: list[str] = []
    drawn: list[str] = []
    for i, byte in enumerate(("coarse", "fine")):
        if drawn:
            inputs[i] = g.affine(number(drawn[0]), a.inputs_coarse[:, None] / 127.5, inputs[i])
        u_h, r_h, e_h = g.split(3, recurrent[i], axis=1)
        u_x, r_x, e_x = g.split(3, inputs[i], axis=1)
        u, r = (g.node("Sigmoid", g.node("Add", h, x)) for h, x in ((u_h, u_x), (r_h, r_x)))
        e = g.node("Tanh", g.node("Add", g.node("Mul", r, e_h), e_x))
        states.append(g.node("Add", e, g.node("Mul", u, g.node("Sub", own[i], e))))
        z = g.node("Relu", g.affine(states[-1], a.hidden[i], a.hidden_bias[i]))
        logits.append(g.affine(z, a.out[i], a.out_bias[i]))
        drawn.append(g.draw(byte, logits[-1]))
    for name, parts, axis in (("next", states, 1), ("logits", logits, 0), ("drawn", drawn, 1)):
        g.node("Concat", *parts, axis=axis, name=name)
    return g


RUNNERS = {"wavenet": OnnxWaveNet, "wavernn": OnnxWaveRNN}
