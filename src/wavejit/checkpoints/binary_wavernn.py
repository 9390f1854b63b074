"""Import a WaveRNN exported by geneing's C++ tools: a flat binary file with sparse matrices.

Little endian. A header of four int32: residual blocks, upsampling stages, hop, padding. Then layers until the
end of the file: an int32 kind, a name of 64 bytes, and what the kind says. A sparse matrix is a count and that
many values, then a count and that many bytes: 255 ends a row, any other byte v puts the next four values at
columns 4v to 4v + 3.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wavejit.audio.contract import FeatureContract
from wavejit.checkpoints.folder import ModelFiles
from wavejit.errors import InputError
from wavejit.models import mel_wavernn
from wavejit.models.mel_wavernn import MelWaveRNN, box_upsampling

Array = NDArray[np.float32]

CONVOLUTION, UPSAMPLING, BATCH_NORM, LINEAR, GRU, STRETCH = range(1, 7)
END_OF_ROW = 255
COLUMNS_A_GROUP = 4
MAX_SIZE = 8192  # of any dimension; a matrix of this many rows and columns is far beyond a vocoder's
DTYPES = {4: np.dtype("<f4"), 2: np.dtype("<f2")}
MAX_LAYERS = 1024
MAX_FILE_BYTES = 1 << 30
KINDS = ("", "convolution", "upsampling", "batch norm", "linear", "GRU", "stretch")
SAMPLE_RATE = 16000  # the file does not say; the exporter's networks are all of 16 kHz


@dataclass
class Reader:
    """The file's bytes, taken from the front; every error names the file and where it is."""

    path: Path
    data: bytes
    at: int = 0
    layer: str = "header"

    def fail(self, message: str) -> InputError:
        return InputError(f"{self.path}: {self.layer}, byte {self.at}: {message}")

    def take(self, count: int, what: str) -> bytes:
        if count > len(self.data) - self.at:
            left = len(self.data) - self.at
            raise self.fail(f"the file ends in {what}: {count} bytes expected, {left} left")
        self.at += count
        return self.data[self.at - count : self.at]

    def integer(self, what: str, low: int = 0, high: int = MAX_SIZE) -> int:
        (value,) = struct.unpack("<i", self.take(4, what))
        if not low <= value <= high:
            raise self.fail(f"{what} is {value}, expected {low} to {high}")
        return value

    def array(self, count: int, what: str, dtype: np.dtype[np.generic] = DTYPES[4]) -> Array:
        found = np.frombuffer(self.take(count * dtype.itemsize, what), dtype).astype(np.float32)
        if not np.isfinite(found).all():
            raise self.fail(f"{what} holds NaN or infinite values, expected finite ones")
        return found

    def dtype(self) -> np.dtype[np.generic]:
        size = self.integer("element size")
        if size not in DTYPES:
            raise self.fail(f"element size is {size}, expected 4 (float32) or 2 (float16)")
        return DTYPES[size]

    def sparse(self, rows: int, columns: int, what: str, dtype: np.dtype[np.generic]) -> Array:
        """A sparse matrix, as `(rows, columns)`."""
        values = self.array(self.integer(f"{what} count", 0, rows * columns), f"{what} values", dtype)
        count = self.integer(f"{what} index count", rows, rows * columns + rows + 1)
        index = np.frombuffer(self.take(count, f"{what} index"), np.uint8)
        ends = np.flatnonzero(index == END_OF_ROW)
        if len(ends) not in (rows, rows + 1) or ends[-1] != count - 1:  # some exporters end the matrix too
            raise self.fail(f"{what} has {len(ends)} ends of rows, expected {rows}")
        groups = index != END_OF_ROW
        if int(groups.sum()) * COLUMNS_A_GROUP != len(values):
            raise self.fail(f"{what} has {int(groups.sum())} groups of columns for {len(values)} values")
        row = np.cumsum(~groups)[groups]
        column = index[groups].astype(int)[:, None] * COLUMNS_A_GROUP + np.arange(COLUMNS_A_GROUP)
        if row.size and (row.max() >= rows or column.max() >= columns):
            raise self.fail(f"{what} has a value at row {row.max()}, column {column.max()} of {rows} x {columns}")
        matrix = np.zeros((rows, columns), np.float32)
        matrix[row[:, None], column] = values.reshape(-1, COLUMNS_A_GROUP)
        return matrix


@dataclass
class Layer:
    """One layer of the file: its kind, its name and its arrays."""

    kind: int
    name: str
    arrays: dict[str, Array] = field(default_factory=dict)
    numbers: tuple[float, ...] = ()


def read_layer(r: Reader) -> Layer:
    kind = r.integer("layer kind", CONVOLUTION, STRETCH)
    raw = r.take(64, "layer name").split(b"\0")[0]
    r.layer = name = raw.decode("ascii", "replace")
    layer = Layer(kind, name)
    if kind == STRETCH:
        layer.numbers = (r.integer("stretch x", 1), r.integer("stretch y", 1))
        return layer
    dtype = r.dtype()
    match kind:
        case 1:  # convolution
            biased = r.integer("has-bias", 0, 1)
            inputs, outputs, kernel = (r.integer(what, 1) for what in ("inputs", "outputs", "kernel"))
            weights = r.array(outputs * inputs * kernel, "weights", dtype)
            layer.arrays["weight"] = weights.reshape(outputs, inputs, kernel)
            layer.arrays["bias"] = r.array(outputs, "bias", dtype) if biased else np.zeros(outputs, np.float32)
        case 2:  # filter of an upsampling stage
            layer.arrays["filter"] = r.array(r.integer("length", 1), "filter", dtype)
        case 3:  # batch norm
            channels = r.integer("channels", 1)
            epsilon = float(r.array(1, "epsilon")[0])
            for what in ("weight", "bias", "mean", "variance"):
                layer.arrays[what] = r.array(channels, what, dtype)
            if (layer.arrays["variance"] + epsilon <= 0).any():
                raise r.fail("variance is negative, expected positive values")
            layer.numbers = (epsilon,)
        case 4:  # linear
            rows, columns = r.integer("rows", 1), r.integer("columns", 1)
            layer.arrays["weight"] = r.sparse(rows, columns, "weight", dtype)
            layer.arrays["bias"] = r.array(rows, "bias", dtype)
        case _:  # GRU
            hidden, inputs = r.integer("hidden", 1), r.integer("inputs", 1)
            gates = [(side, gate) for side in ("inputs", "recurrent") for gate in ("reset", "update", "new")]
            parts = {g: r.sparse(hidden, inputs if g[0] == "inputs" else hidden, " ".join(g), dtype) for g in gates}
            biases = {g: r.array(hidden, " ".join(g) + " bias", dtype) for g in gates}
            for side in ("inputs", "recurrent"):
                layer.arrays[f"{side}.weight"] = np.concatenate([parts[g] for g in gates if g[0] == side])
                layer.arrays[f"{side}.bias"] = np.concatenate([biases[g] for g in gates if g[0] == side])
    return layer


class Layers:
    """The layers in order; `next` demands a kind."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._layers: list[Layer] = []
        while reader.at < len(reader.data):
            self._layers.append(read_layer(reader))
            if len(self._layers) > MAX_LAYERS:
                raise reader.fail(f"more than {MAX_LAYERS} layers")
        self._reader.layer, self._at = "network", 0

    def next(self, kind: int) -> Layer:
        if self._at >= len(self._layers):
            raise self._reader.fail(f"the file has {self._at} layers; one of kind {KINDS[kind]} is missing")
        layer = self._layers[self._at]
        self._at += 1
        self._reader.layer = layer.name or "network"
        if layer.kind != kind:
            raise self._reader.fail(f"layer {self._at} is of kind {KINDS[layer.kind]}, expected {KINDS[kind]}")
        return layer

    def end(self) -> None:
        if self._at < len(self._layers):
            raise self._reader.fail(f"the file has {len(self._layers)} layers, expected {self._at}")

    def normalised_convolution(self, inputs: int, kernel: int) -> tuple[Array, Array]:
        """A convolution with the batch norm behind it folded in: `(outputs, kernel * inputs)`, oldest frame first."""
        weight, bias = self.convolution(inputs, kernel)
        norm = self.next(BATCH_NORM)
        if norm.arrays["mean"].shape != bias.shape:
            raise self._reader.fail(f"batch norm has {len(norm.arrays['mean'])} channels, expected {len(bias)}")
        scale = norm.arrays["weight"] / np.sqrt(norm.arrays["variance"] + norm.numbers[0])
        return weight * scale[:, None], (bias - norm.arrays["mean"]) * scale + norm.arrays["bias"]

    def convolution(self, inputs: int, kernel: int) -> tuple[Array, Array]:
        layer = self.next(CONVOLUTION)
        weight = layer.arrays["weight"]
        if weight.shape[1:] != (inputs, kernel):
            raise self._reader.fail(f"convolution is {weight.shape}, expected {inputs} inputs and a kernel of {kernel}")
        return weight.transpose(0, 2, 1).reshape(len(weight), -1), layer.arrays["bias"]


def import_binary_wavernn(path: Path, features: FeatureContract) -> ModelFiles:
    """Read a model.

    Args:
        path: the file.
        features: what its features are; the file does not say. Its hop and bins must be the file's.

    Raises:
        InputError: the file is truncated, is something else, or does not make a network.
    """
    try:
        data = path.read_bytes() if path.stat().st_size <= MAX_FILE_BYTES else None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    if data is None:
        raise InputError(f"{path}: is larger than {MAX_FILE_BYTES >> 20} MiB, expected a WaveRNN of a few megabytes")
    r = Reader(path, data)
    blocks, stages = r.integer("residual blocks", 0, 256), r.integer("upsampling stages", 1, 16)
    hop, padding = r.integer("hop", 1, 65536), r.integer("padding", 0, 64)
    for field_name, found, wanted in (("hop", hop, features.hop_length),):
        if found != wanted:
            raise r.fail(f"{field_name} is {found}, expected {wanted} as in the features")
    layers = Layers(r)
    weights: dict[str, Array] = {}

    def put(name: str, weight: Array, bias: Array) -> None:
        weights[f"{name}.weight"], weights[f"{name}.bias"] = weight, bias

    put("residual.first", *layers.normalised_convolution(features.bins, 2 * padding + 1))
    channels = len(weights["residual.first.bias"])
    for i in range(blocks):
        put(f"residual.blocks.{i}.first", *layers.normalised_convolution(channels, 1))
        put(f"residual.blocks.{i}.second", *layers.normalised_convolution(channels, 1))
    put("residual.last", *layers.convolution(channels, 1))
    layers.next(STRETCH)  # the auxiliary channels, repeated by the hop

    scales, filters = [], []
    for _ in range(stages):
        scales.append(int(layers.next(STRETCH).numbers[0]))
        filters.append(layers.next(UPSAMPLING).arrays["filter"])
        if len(filters[-1]) != 2 * scales[-1] + 1:
            raise r.fail(f"a filter of {len(filters[-1])} values for a stretch of {scales[-1]}")
    if prod(scales) != hop:
        raise r.fail(f"stages stretch by {prod(scales)} in all, expected the hop {hop}")
    weights["upsample.taps"] = box_upsampling(tuple(scales), padding, tuple(filters))

    inputs = layers.next(LINEAR)
    recurrent = layers.next(GRU)
    hidden, out = layers.next(LINEAR), layers.next(LINEAR)
    layers.end()
    put("inputs", inputs.arrays["weight"], inputs.arrays["bias"])
    put("gru.0.recurrent", recurrent.arrays["recurrent.weight"], recurrent.arrays["recurrent.bias"])
    put("gru.0.inputs", recurrent.arrays["inputs.weight"], recurrent.arrays["inputs.bias"])
    put("hidden.0", hidden.arrays["weight"], hidden.arrays["bias"])
    put("out", out.arrays["weight"], out.arrays["bias"])
    auxiliary = len(weights["residual.last.bias"])
    half = auxiliary // 2
    network = MelWaveRNN(
        sample_rate=SAMPLE_RATE,
        bins=features.bins,
        hop_length=hop,
        padding=padding,
        residual_channels=channels,
        residual_blocks=blocks,
        auxiliary_channels=auxiliary,
        auxiliary=((0, half - 1), (half, auxiliary - half)),  # the exporter's network leaves one row out
        gru_widths=(len(weights["gru.0.recurrent.bias"]) // 3,),
        hidden_widths=(len(weights["hidden.0.bias"]),),
        classes=len(weights["out.bias"]),
    )
    mel_wavernn.FAMILY.check(network, weights, str(path))
    return ModelFiles(mel_wavernn.FAMILY, network, weights, features, provenance=f"imported from {path.name}")
