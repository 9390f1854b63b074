"""The layers of geneing's format, one function a kind; each demands its kind and the sizes that must fit.

A layer is an int32 kind, a name of 64 bytes, and what the kind says; the element size that most kinds begin
with is 4 for float32 and 2 for float16.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from wavejit.checkpoints.binary_reader import FLOAT16, FLOAT32, MAX_SIZE, Array, Reader

NAME_BYTES = 64
GATES = ("reset", "update", "new")  # PyTorch's order


class Kind(IntEnum):
    """What a layer is, as the file numbers it."""

    CONVOLUTION = 1
    FILTER = 2
    BATCH_NORM = 3
    LINEAR = 4
    GRU = 5
    STRETCH = 6

    def __str__(self) -> str:
        return self.name.lower().replace("_", " ")


@dataclass
class Layers:
    """The file's layers in order.

    Attributes:
        reader: the bytes, behind the header.
        half_vectors: whether an element size of 2 means all values of a layer, and not those of its sparse
            matrices alone. The file does not say; see `binary_wavernn`.
        count: layers read so far.
    """

    reader: Reader
    half_vectors: bool = False
    count: int = 0

    def begin(self, kind: Kind) -> Reader:
        """The reader behind kind and name of the next layer, which must be a `kind`."""
        r, self.count = self.reader, self.count + 1
        r.place = f"layer {self.count}"
        if r.left == 0:
            raise r.fail(f"the file ends, expected a {kind}")
        found = r.integer("kind", min(Kind), max(Kind))
        name = r.text(NAME_BYTES, "name")
        r.place = f"layer {self.count}, {name or 'nameless'}"
        if found != kind:
            raise r.fail(f"is a {Kind(found)}, expected a {kind}")
        return r

    def end(self) -> None:
        """Demand that no layer follows."""
        if self.reader.left:
            raise self.reader.fail(f"{self.reader.left} bytes follow the last of {self.count} layers, expected none")

    def convolution(self, inputs: int, kernel: int, outputs: int | None = None) -> tuple[Array, Array]:
        """Weight `(outputs, kernel * inputs)`, oldest frame first, and bias; any `outputs` by default."""
        r = self.begin(Kind.CONVOLUTION)
        _, vectors = self._types()
        biased = r.integer("has-bias", 0, 1)
        _same(r, "inputs", inputs)
        made = r.integer("outputs", 1) if outputs is None else _same(r, "outputs", outputs)
        _same(r, "kernel", kernel)
        weight = r.array(made * inputs * kernel, "weight", vectors).reshape(made, inputs, kernel)
        bias = r.array(made, "bias", vectors) if biased else np.zeros(made, np.float32)
        return weight.transpose(0, 2, 1).reshape(made, -1), bias

    def normalised_convolution(self, inputs: int, kernel: int, outputs: int | None = None) -> tuple[Array, Array]:
        """A convolution with the batch norm behind it folded in; otherwise as `convolution`."""
        weight, bias = self.convolution(inputs, kernel, outputs)
        scale, shift = self.batch_norm(len(bias))
        return self.finite(weight * scale[:, None]), self.finite(bias * scale + shift)

    def batch_norm(self, channels: int) -> tuple[np.ndarray, np.ndarray]:
        """What a batch norm multiplies by and adds, `(channels,)` each, in float64."""
        r = self.begin(Kind.BATCH_NORM)
        _, vectors = self._types()
        _same(r, "channels", channels)
        epsilon = r.array(1, "epsilon")
        weight, bias, mean, variance = (
            r.array(channels, what, vectors).astype(np.float64) for what in ("weight", "bias", "mean", "variance")
        )
        least = float((variance + epsilon).min())
        if least <= 0:
            raise r.fail(f"variance plus epsilon is {least:g}, expected more than 0")
        scale = weight / np.sqrt(variance + epsilon)
        return scale, bias - mean * scale

    def linear(self, columns: int) -> tuple[Array, Array]:
        """Weight `(rows, columns)` and bias `(rows,)`, of any number of rows."""
        r = self.begin(Kind.LINEAR)
        values, vectors = self._types()
        rows = r.integer("rows", 1)
        _same(r, "columns", columns)
        weight = r.sparse(rows, columns, "weight", values)
        return weight, r.array(rows, "bias", vectors)

    def gru(self, width: int) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        """Weight `(3 * width, width)` and bias `(3 * width,)` of the inputs, then of the recurrence."""
        r = self.begin(Kind.GRU)
        values, vectors = self._types()
        _same(r, "hidden", width)
        _same(r, "inputs", width)
        names = [f"{side} {gate}" for side in ("input", "recurrent") for gate in GATES]
        matrices = [r.sparse(width, width, f"{name} weight", values) for name in names]
        biases = [r.array(width, f"{name} bias", vectors) for name in names]
        of_inputs, recurrent = (
            (np.concatenate(matrices[part]), np.concatenate(biases[part])) for part in (slice(0, 3), slice(3, 6))
        )
        return of_inputs, recurrent

    def stretch(self) -> int:
        """How often each frame is repeated."""
        r = self.begin(Kind.STRETCH)
        times = r.integer("stretch x", 1, MAX_SIZE)
        r.integer("stretch y", 1, 1)
        return times

    def filter(self, length: int) -> Array:
        """A smoothing filter `(length,)`."""
        r = self.begin(Kind.FILTER)
        _, vectors = self._types()
        return r.array(_same(r, "length", length), "filter", vectors)

    def finite(self, values: np.ndarray) -> Array:
        """Computed weights in float32, where they fit."""
        with np.errstate(over="ignore"):
            single = values.astype(np.float32)
        if not np.isfinite(single).all():
            raise self.reader.fail("its weights multiply to values beyond float32's, expected smaller ones")
        return single

    def _types(self) -> tuple[np.dtype[np.generic], np.dtype[np.generic]]:
        """The types of sparse values and of all others in the layer that begins."""
        size = self.reader.integer("element size")
        if size not in (2, 4):
            raise self.reader.fail(f"element size is {size}, expected 4 (float32) or 2 (float16)")
        values = FLOAT32 if size == 4 else FLOAT16
        return values, values if self.half_vectors else FLOAT32


def _same(r: Reader, what: str, expected: int) -> int:
    found = r.integer(what, -(2**31), 2**31 - 1)
    if found != expected:
        raise r.fail(f"{what} is {found}, expected {expected}")
    return found
