"""The peers in ONNX Runtime: one step a run call, on arrays that are bound once (IoBinding).

The graph takes the last classes and what the delay lines hold, and gives logits and what goes into them. The
delay lines themselves and the drawing are NumPy's, between two runs. WaveRNN is two graphs, for the fine half
waits for the coarse byte.
"""

from __future__ import annotations

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from wavejit.benchmark.peers.networks import Classes, Floats, Runner, WaveNetArrays, WaveRNNArrays
from wavejit.benchmark.peers.numpy_peer import draw
from wavejit.models.family import Weights
from wavejit.models.wavenet import WaveNet
from wavejit.models.wavernn import WaveRNN

OPSET, IR_VERSION = 17, 9  # understood by every ONNX Runtime since 1.16
Bound = dict[str, NDArray[np.float32] | NDArray[np.int64]]
ELEMENT = {np.dtype(np.float32): TensorProto.FLOAT, np.dtype(np.int64): TensorProto.INT64}


class Graph:
    """An ONNX graph under construction; values are names, vectors are rows `(1, n)`."""

    def __init__(self) -> None:
        self._nodes, self._constants = [], []

    def constant(self, array: Floats | Classes) -> str:
        name = f"c{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def split(self, parts: int, x: str, **attributes: int) -> list[str]:
        names = [f"n{len(self._nodes)}_{i}" for i in range(parts)]
        self._nodes.append(helper.make_node("Split", [x], names, **attributes))
        return names

    def node(self, op: str, *inputs: str, to: str = "", **attributes: int | float) -> str:
        name = to or f"n{len(self._nodes)}"
        self._nodes.append(helper.make_node(op, list(inputs), [name], **attributes))
        return name

    def affine(self, x: str, weight: Floats, addend: str | Floats, to: str = "") -> str:
        """`weight @ x + addend`, `weight` being `(outputs, inputs)`."""
        added = addend if isinstance(addend, str) else self.constant(addend[None])
        return self.node("Gemm", x, self.constant(weight.T), added, to=to)

    def bind(self, inputs: Bound, outputs: Bound, threads: int) -> Session:
        """A session that reads and writes these arrays."""

        def described(arrays: Bound) -> list[object]:
            return [helper.make_tensor_value_info(k, ELEMENT[v.dtype], v.shape) for k, v in arrays.items()]

        graph = helper.make_graph(
            self._nodes, "step", described(inputs), described(outputs), initializer=self._constants
        )
        model = helper.make_model(
            graph, ir_version=IR_VERSION, opset_imports=[helper.make_opsetid("", OPSET)]
        )
        return Session(model.SerializeToString(), inputs, outputs, threads)


class Session:
    """A compiled graph whose inputs and outputs are arrays bound once."""

    def __init__(self, model: bytes, inputs: Bound, outputs: Bound, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._binding = self._session.io_binding()
        self._arrays = (inputs, outputs)  # the binding holds addresses only
        for name, x in inputs.items():
            self._binding.bind_input(name, "cpu", 0, x.dtype, x.shape, x.ctypes.data)
        for name, x in outputs.items():
            self._binding.bind_output(name, "cpu", 0, x.dtype, x.shape, x.ctypes.data)

    def run(self) -> None:
        self._session.run_with_iobinding(self._binding)


class OnnxWaveNet(Runner[WaveNet]):
    """WaveNet: the previous taps of all layers go in, the inputs of all layers come out."""

    def __init__(self, network: WaveNet, weights: Weights, threads: int) -> None:
        super().__init__(network, weights, threads)
        self._a = WaveNetArrays(network, weights)
        layers, r = self._a.residual_bias.shape
        self._before_last, self._last = np.zeros(1, np.int64), np.zeros(1, np.int64)
        self._taps, self._inputs = np.zeros((layers, 1, r), np.float32), np.zeros((layers, r), np.float32)
        self._logits = np.zeros((1, network.classes), np.float32)
        self._rng = np.random.default_rng(0)
        self._session = self._graph().bind(
            {"before_last": self._before_last, "last": self._last, "taps": self._taps},
            {"logits": self._logits, "inputs": self._inputs},
            threads,
        )
        self.reset()

    def _graph(self) -> Graph:
        g, a = Graph(), self._a
        products = g.node("MatMul", "taps", g.constant(a.previous.transpose(0, 2, 1)))
        sums = g.node("Add", products, g.constant(a.bias[:, None, :]))
        totals = g.split(len(a.bias), g.node("Squeeze", sums, g.constant(np.array([1]))), axis=0)
        x = g.node(
            "Tanh",
            g.node(
                "Add",
                g.node("Gather", g.constant(a.embed_previous), "before_last"),
                g.node("Gather", g.constant(a.embed_current), "last"),
            ),
        )
        inputs, outputs = [], []
        for i, total in enumerate(totals):
            inputs.append(x)
            filtered, gate = g.split(2, g.affine(x, a.current[i], total), axis=1)
            h = g.node("Mul", g.node("Tanh", filtered), g.node("Sigmoid", gate))
            outputs.append(h)
            x = g.node("Add", x, g.affine(h, a.residual[i], a.residual_bias[i]))
        g.node("Concat", *inputs, axis=0, to="inputs")
        skips = g.node("Relu", g.affine(g.node("Concat", *outputs, axis=1), a.skip, a.skip_bias))
        z = g.node("Relu", g.affine(skips, a.head, a.head_bias))
        g.affine(z, a.out, a.out_bias, to="logits")
        return g

    def reset(self) -> None:
        self._lines, self._tick = self._a.delay_lines(), 0
        self._before_last[0] = self._last[0] = self.network.classes // 2

    def run(self, ticks: int, forced: Classes | None = None) -> tuple[Classes, Floats | None]:
        drawn = np.empty((ticks, 1), np.int64)
        logits = None if forced is None else np.empty((ticks, 1, self.network.classes), np.float32)
        for t in range(ticks):
            rows = self._a.starts + self._tick % self._a.dilations
            self._taps[:, 0] = self._lines[rows]
            self._session.run()
            self._lines[rows] = self._inputs
            self._tick += 1
            if forced is None or logits is None:
                sample = draw(self._logits[0], self._rng)
            else:
                logits[t, 0], sample = self._logits[0], forced[t, 0]
            drawn[t, 0] = sample
            self._before_last[0], self._last[0] = self._last[0], sample
        return drawn, logits


class OnnxWaveRNN(Runner[WaveRNN]):
    """WaveRNN: a session makes the coarse half and both recurrent products, another the fine half."""

    def __init__(self, network: WaveRNN, weights: Weights, threads: int) -> None:
        super().__init__(network, weights, threads)
        half, a = network.width // 2, WaveRNNArrays(network, weights)
        self._rng = np.random.default_rng(0)
        self._h, self._last = np.zeros((1, network.width), np.float32), np.zeros((1, 2), np.float32)
        self._coarse, fine_sums = np.zeros((1, 1), np.float32), np.zeros((2, 1, 3 * half), np.float32)
        self._y = [np.zeros((1, half), np.float32) for _ in (0, 1)]
        self._logits = [np.zeros((1, 256), np.float32) for _ in (0, 1)]

        g = Graph()
        recurrent = g.split(2, g.node("MatMul", "h", g.constant(a.recurrent.T)), axis=1)
        inputs = g.split(2, g.affine("last", a.inputs, a.bias), axis=1)
        own = g.split(2, "h", axis=1)
        _half(g, a, 0, recurrent[0], inputs[0], own[0])
        g.node("Identity", recurrent[1], to="recurrent")
        g.node("Identity", inputs[1], to="inputs")
        g.node("Identity", own[1], to="own")
        self._own = np.zeros((1, half), np.float32)
        handed = {"recurrent": fine_sums[0], "inputs": fine_sums[1], "own": self._own}
        self._first = g.bind(
            {"h": self._h, "last": self._last}, {"y": self._y[0], "logits": self._logits[0]} | handed, threads
        )

        g = Graph()
        seen = g.node("Mul", "coarse", g.constant(a.inputs_coarse[None]))
        _half(g, a, 1, "recurrent", g.node("Add", "inputs", seen), "own")
        self._second = g.bind(
            {"coarse": self._coarse} | handed, {"y": self._y[1], "logits": self._logits[1]}, threads
        )
        self.reset()

    def reset(self) -> None:
        self._h[:], self._last[:] = 0, (128 / 127.5 - 1, -1)

    def run(self, ticks: int, forced: Classes | None = None) -> tuple[Classes, Floats | None]:
        drawn, half = np.empty((ticks, 2), np.int64), self.network.width // 2
        logits = None if forced is None else np.empty((ticks, 2, 256), np.float32)
        for t in range(ticks):
            for i, session in enumerate((self._first, self._second)):
                session.run()
                if forced is None or logits is None:
                    byte = draw(self._logits[i][0], self._rng)
                else:
                    logits[t, i], byte = self._logits[i][0], forced[t, i]
                drawn[t, i] = byte
                self._coarse[0, 0] = byte / 127.5 - 1
            self._h[:, :half], self._h[:, half:] = self._y
            self._last[0] = drawn[t] / 127.5 - 1
        return drawn, logits


def _half(g: Graph, a: WaveRNNArrays, i: int, recurrent: str, inputs: str, own: str) -> None:
    """One half's next state "y" and its "logits" from its gates' sums, in the order u, r, e."""
    u_h, r_h, e_h = g.split(3, recurrent, axis=1)
    u_x, r_x, e_x = g.split(3, inputs, axis=1)
    u, r = (g.node("Sigmoid", g.node("Add", h, x)) for h, x in ((u_h, u_x), (r_h, r_x)))
    e = g.node("Tanh", g.node("Add", g.node("Mul", r, e_h), e_x))
    y = g.node("Add", e, g.node("Mul", u, g.node("Sub", own, e)), to="y")
    z = g.node("Relu", g.affine(y, a.hidden[i], a.hidden_bias[i]))
    g.affine(z, a.out[i], a.out_bias[i], to="logits")


RUNNERS = {"wavenet": OnnxWaveNet, "wavernn": OnnxWaveRNN}
