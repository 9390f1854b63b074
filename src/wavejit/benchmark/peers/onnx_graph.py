"""Write an ONNX graph node by node, and run it on arrays that are bound once."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import ArrayLike
from onnx import TensorProto, helper, numpy_helper

from wavejit.benchmark.peers.networks import Classes, Floats

OPSET, IR_VERSION = 17, 9  # ONNX Runtime understands them since 1.16
NOTHING = -1  # given instead of a class: draw one
Arrays = dict[str, Floats | Classes]
ELEMENT = {np.dtype(np.float32): TensorProto.FLOAT, np.dtype(np.int64): TensorProto.INT64}


class Graph:
    """An ONNX graph under construction; values are names, vectors are rows `(1, n)`."""

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def constant(self, array: ArrayLike) -> str:
        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def node(self, op: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        """An operation with one result, called `name` if that is given."""
        result = name or f"value_{len(self._nodes)}"
        self._nodes.append(helper.make_node(op, list(inputs), [result], **attributes))
        return result

    def split(self, parts: int, x: str, axis: int) -> list[str]:
        """Equal parts of `x`."""
        results = [f"value_{len(self._nodes)}_{i}" for i in range(parts)]
        self._nodes.append(helper.make_node("Split", [x], results, axis=axis))
        return results

    def affine(self, x: str, weight: Floats, addend: str | Floats, name: str = "") -> str:
        """`weight @ x + addend`, `weight` being `(outputs, inputs)`."""
        added = addend if isinstance(addend, str) else self.constant(addend[None])
        return self.node("Gemm", x, self.constant(weight.T), added, name=name)

    def draw(self, which: str, logits: str, classes: int = 256) -> str:
        """A class `(1, 1)` of the softmax: `given_<which>`, or one drawn with `uniform_<which>`, both `(1, 1)`."""
        cumulative = self.node("CumSum", self.node("Softmax", logits), self.constant(np.array(1)))
        below = self.node("Cast", self.node("Less", cumulative, f"uniform_{which}"), to=TensorProto.FLOAT)
        index = self.node("Cast", self.node("ReduceSum", below, self.constant(np.array([1]))), to=TensorProto.INT64)
        drawn = self.node(
            "Min", index, self.constant(np.array([[classes - 1]]))
        )  # probabilities may sum to a little less than 1
        nothing = self.node("Equal", f"given_{which}", self.constant(np.array([[NOTHING]])))
        return self.node("Where", nothing, drawn, f"given_{which}", name=f"drawn_{which}")

    def session(self, inputs: Arrays, outputs: Arrays, threads: int) -> Session:
        """The compiled graph, which reads and writes these arrays."""

        def described(arrays: Arrays) -> list[Any]:
            return [helper.make_tensor_value_info(k, ELEMENT[v.dtype], v.shape) for k, v in arrays.items()]

        graph = helper.make_graph(
            self._nodes, "step", described(inputs), described(outputs), initializer=self._constants
        )
        opsets = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, ir_version=IR_VERSION, opset_imports=opsets)
        return Session(model.SerializeToString(), inputs, outputs, threads)


class Session:
    """A compiled graph whose inputs and outputs are arrays bound once."""

    def __init__(self, model: bytes, inputs: Arrays, outputs: Arrays, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._binding = self._session.io_binding()
        self._bound = (inputs, outputs)  # the binding holds addresses only
        for name, x in inputs.items():
            self._binding.bind_input(name, "cpu", 0, x.dtype, x.shape, x.ctypes.data)
        for name, x in outputs.items():
            self._binding.bind_output(name, "cpu", 0, x.dtype, x.shape, x.ctypes.data)

    def run(self) -> None:
        self._session.run_with_iobinding(self._binding)
